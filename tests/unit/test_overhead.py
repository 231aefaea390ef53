"""What recording calls costs: events times their prices, of the CPU time; and which functions are switched off."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from counted_tables import tables
from execd.errors import NotPermitted, ProfileCorrupt
from execd.model.overhead import (
    Counts,
    FunctionCounts,
    Look,
    Prices,
    overhead_between,
    percent,
    to_switch_off,
)
from execd.model.usualprices import usual_prices
from execd.sessions.armed import Armed
from execd.sessions.governor import Watch
from execd.sessions.overhead import Gauge, of_running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.corecounts import CoreCounts

MS, S = 10**6, 10**9
PRICES = Prices(python=100.0, resumed=60.0, c=50.0, method=70.0, uncounted=20.0)


def look(at_s: float, cpu_ms: float, counts: Counts) -> Look:
    return Look(at_s, round(cpu_ms * MS), counts)


def test_what_a_function_saves_is_dearer_too() -> None:
    prices = replace(PRICES, timed=10.0)
    total = Counts(python=1_000_000, timed=1000, timed_ns=20_000)
    spent = overhead_between(look(0.0, 0, Counts()), look(1.0, 1000, total), prices)
    assert spent is not None
    rows = [FunctionCounts(index, Counts(python=250_000), 60 * MS) for index in range(1, 5)]
    # 160 of 1,000 ms are added: one is 40, two leave 80 of 920, which are above 9%.
    assert spent.added_ns == pytest.approx(160 * MS)
    assert [one.index for one in to_switch_off(rows, prices, spent, 0.09)] == [1, 2, 3]


def functions() -> list[FunctionCounts]:
    """Of 1 s of CPU time 200 ms are added: by long functions, tiny ones, and one that has been called before."""
    return [
        FunctionCounts(1, Counts(python=50_000), 400 * MS),
        FunctionCounts(2, Counts(python=500_000), 150 * MS),
        FunctionCounts(3, Counts(python=350_000, c=600_000), 140 * MS),
        FunctionCounts(4, Counts(python=10, c=1_000_000), 140 * MS),
        FunctionCounts(5, Counts(c=600_000), 40 * MS),
    ]


def test_the_hottest_short_functions_are_switched_off_until_the_rest_is_within_the_limit() -> None:
    counts = Counts(python=900_010, c=2_200_000, uncounted=900_010)
    spent = overhead_between(look(0, 0, Counts()), look(1, 1000, counts), PRICES)
    assert spent is not None
    assert spent.added_ns == pytest.approx(200 * MS, rel=0.01)
    assert [one.index for one in to_switch_off(functions(), PRICES, spent, 0.2)] == [3]
    # The others take 8 us and 14 ms a call, and one was not called: they are no short ones.
    assert [one.index for one in to_switch_off(functions(), PRICES, spent, 0.05)] == [3, 2]
    assert [one.index for one in to_switch_off(functions(), PRICES, spent, 0.03)] == [3, 2]
    assert to_switch_off(functions(), PRICES, spent, 0.5) == []


def test_waiting_for_a_processor_makes_no_function_long() -> None:
    # Its threads had a processor for a quarter of the time: of its 3.2 us a call, 0.8.
    counts = Counts(python=500_000, python_ns=1600 * MS)
    spent = overhead_between(look(0, 0, Counts()), look(2, 400, counts), PRICES)
    assert spent is not None
    assert spent.busy == pytest.approx(0.25)
    rows = [FunctionCounts(1, counts, counts.python_ns)]
    assert [one.index for one in to_switch_off(rows, PRICES, spent, 0.1)] == [1]
    assert to_switch_off(rows, PRICES, replace(spent, busy=1.0), 0.1) == []


class World:
    """A clock, and what a process has used and recorded by then."""

    def __init__(self) -> None:
        self.now_s, self.cpu_ns, self.calls = 100.0, 0, 0
        self.has_ended = False
        self.worked_s = 0.0
        self.off: set[int] = set()

    def passes(self, seconds: float, calls: int) -> None:
        """Time goes, all of it on a processor."""
        self.now_s += seconds
        self.cpu_ns += round(seconds * S)
        self.calls += calls

    def used_ns(self, _pid: int) -> int:
        """Its CPU time."""
        if self.has_ended:
            raise OSError("no such process")
        return self.cpu_ns

    def copied(self) -> bytes:
        """Its tables, of one function."""
        return tables([self.calls], off=self.off)

    def gauge(self, limit: float = 0.2) -> Gauge:
        """What looks at it."""
        found = Gauge(1, self.copied, limit, lambda: self.now_s, self.used_ns, lambda: self.worked_s)
        found.hear({"prices": {"python": 100.0, "resumed": 50.0}})
        return found


def test_a_gauge_tells_of_the_last_second_and_first_of_the_time_since_the_start() -> None:
    world = World()
    gauge = world.gauge()
    assert gauge.now() is None
    world.passes(0.1, 200_000)
    gauge.look()
    first = gauge.now()
    assert first is not None
    assert (round(first.events_per_s), first.span_s, first.share) == (
        4_000_000,
        pytest.approx(0.1),
        pytest.approx(0.25),
    )
    for _ in range(12):
        world.passes(0.25, 0)
        gauge.look()
    later = gauge.now()
    assert later is not None
    assert (later.events_per_s, later.share, later.span_s) == (0, 0, pytest.approx(1.0))


def test_of_a_process_that_mostly_waits_a_gauge_tells_of_some_seconds() -> None:
    world = World()
    gauge = world.gauge()
    for _ in range(8):
        world.now_s += 1.0
        world.cpu_ns += 5 * MS
        world.calls += 1000
        gauge.look()
    found = gauge.now()
    assert found is not None
    assert found.span_s == pytest.approx(5.0)


def test_a_gauge_tells_how_dear_events_are_by_the_looks_of_some_seconds() -> None:
    world = World()
    gauge = world.gauge()
    for _ in range(15):
        world.passes(1.0, 1000)
        gauge.look()
    assert gauge.latest is not None
    latest = gauge.latest[0]
    assert latest.at_s - gauge.before(latest).at_s == pytest.approx(10.0)


def test_where_prices_cannot_be_measured_there_are_usual_ones_until_they_can() -> None:
    world, usual = World(), usual_prices("native", (3, 12, 1))
    gauge = Gauge(1, world.copied, None, lambda: world.now_s, world.used_ns, usual=usual)
    # Nobody measures them there.
    gauge.hear({})
    assert gauge.prices is None
    gauge.hear({"prices": {}})
    assert gauge.prices == usual
    assert usual is not None
    world.passes(1.0, 1_000_000)
    gauge.look()
    found = gauge.now()
    assert found is not None
    assert found.added_ns == pytest.approx(1_000_000 * (usual.python - usual.uncounted) * 1.15)
    gauge.hear({"prices": {"python": 100.0, "resumed": 50.0}})
    gauge.hear({"prices": {}})
    assert gauge.prices is not None
    assert gauge.prices.python == 100.0


def test_usual_prices_are_those_of_a_core_by_version() -> None:
    assert all(usual_prices("native", (3, minor)) for minor in range(9, 16))
    assert usual_prices("python", (3, 12)) is usual_prices("native", (3, 99)) is usual_prices("native", ()) is None


def test_a_gauge_says_nothing_new_of_what_cannot_be_read_or_has_ended() -> None:
    world = World()

    def broken() -> bytes:
        raise ProfileCorrupt("garbage")

    unreadable = Gauge(1, broken, None, lambda: world.now_s, world.used_ns)
    gauge = Gauge(1, None, None, lambda: world.now_s, world.used_ns)
    world.passes(1.0, 5)
    unreadable.look()
    assert unreadable.now() is None
    gauge.hear({"counts": {"python": 7}})
    found = gauge.now()
    assert found is not None
    assert found.events_per_s == 14
    world.has_ended = True
    world.passes(1.0, 5)
    gauge.hear({"counts": {"python": 100}})
    assert gauge.now() == found


def test_where_nobody_may_see_what_a_process_takes_that_is_a_reason() -> None:
    world, hidden = World(), []

    def used_ns(pid: int) -> int:
        if hidden:
            raise NotPermitted("this user may not look into process 1")
        return world.used_ns(pid)

    gauge = Gauge(1, world.copied, 0.2, lambda: world.now_s, used_ns)
    gauge.hear({"prices": {"python": 50.0}})
    hidden.append(True)
    for _ in range(7):
        world.passes(1.0, 5)
        gauge.look(is_due=True)
    assert gauge.why_unknown() == "its CPU time cannot be told: this user may not look into process 1"
    hidden.clear()
    gauge.look(is_due=True)
    assert gauge.why_unknown() == ""


def test_a_gauge_knows_whether_the_agent_measures_next() -> None:
    gauge = World().gauge()
    assert gauge.measures
    gauge.hear({"measures": False})
    assert not gauge.measures
    gauge.hear({"prices": {}, "measures": True})
    assert gauge.measures


def looks(world: World, gauge: Gauge, seconds: float, calls_per_s: int) -> Iterator[tuple[Look, CoreCounts | None]]:
    for _ in range(round(seconds / 0.25)):
        world.passes(0.25, calls_per_s // 4)
        gauge.look()
        assert gauge.latest is not None
        yield gauge.latest


def test_a_limit_is_overstepped_by_a_second_above_it_and_then_by_another_one() -> None:
    world, watch = World(), Watch(0.2)
    gauge = world.gauge()
    judged = []
    for one in looks(world, gauge, 1.5, 3_000_000):
        watch.add(*one)
        judged.append(watch.above(gauge.prices) is not None)
    # The first look is a quarter of a second old: from there a second has gone at the fifth.
    assert judged == [False] * 4 + [True] * 2
    spent = watch.above(gauge.prices)
    assert spent is not None
    assert gauge.prices is not None
    assert [one.index for one in watch.hottest(gauge.prices, spent) or []] == [1]
    watch.looks.clear()
    assert watch.above(gauge.prices) is None
    for one in looks(world, gauge, 1.5, 1_000_000):
        watch.add(*one)
    assert watch.above(gauge.prices) is None


def test_a_short_burst_is_not_above_a_limit() -> None:
    world, watch = World(), Watch(0.2)
    gauge = world.gauge()
    for one in [
        *looks(world, gauge, 1.0, 0),
        *looks(world, gauge, 0.25, 4_000_000),
        *looks(world, gauge, 1.0, 0),
    ]:
        watch.add(*one)
        assert watch.above(gauge.prices) is None


def test_of_a_process_that_waits_nothing_is_said() -> None:
    world, watch = World(), Watch(0.01)
    gauge = world.gauge()
    for _ in range(8):
        world.now_s += 0.25
        world.cpu_ns += 10_000
        world.calls += 90
        gauge.look()
        assert gauge.latest is not None
        watch.add(*gauge.latest)
    assert watch.above(gauge.prices) is None


def test_a_gauge_tells_nothing_of_now_by_looks_that_are_old() -> None:
    world = World()
    gauge = world.gauge()
    world.passes(1.0, 1000)
    gauge.look()
    assert gauge.now() is not None
    world.passes(20.0, 1000)
    assert gauge.now() is None
    gauge.look()
    # Of the last second nothing is known by one look.
    assert gauge.is_lone
    world.passes(0.1, 700)
    gauge.look(is_due=True)
    assert not gauge.is_lone
    found = gauge.now()
    assert found is not None
    assert (round(found.events_per_s), found.span_s) == (14_000, pytest.approx(0.1))


def test_looks_that_take_long_are_few_unless_they_are_due() -> None:
    world, looks_made = World(), []

    def copied() -> bytes:
        looks_made.append(world.now_s)
        world.worked_s += 0.02
        return world.copied()

    gauge = Gauge(1, copied, None, lambda: world.now_s, world.used_ns, lambda: world.worked_s)
    for _ in range(4):
        gauge.look()
        world.passes(0.2, 0)
    # 20 ms are 2% of a second.
    assert len(looks_made) == 1
    gauge.look(is_due=True)
    assert len(looks_made) == 2
    gauge = Gauge(1, copied, None, lambda: world.now_s, world.used_ns, lambda: world.worked_s)
    for _ in range(4):
        gauge.look(within_s=0.2)
        world.passes(0.25, 0)
    assert len(looks_made) == 6


def test_the_clocks_are_read_beside_the_copy() -> None:
    world = World()

    def copied() -> bytes:
        world.passes(0.5, 50_000)
        return world.copied()

    gauge = Gauge(1, copied, None, lambda: world.now_s, world.used_ns)
    gauge.look()
    assert gauge.latest is not None
    look, _ = gauge.latest
    assert (look.at_s, look.cpu_ns, look.counts.python) == (100.5, S // 2, 50_000)


def test_sessions_are_looked_at_together_when_somebody_asks() -> None:
    world = World()
    gauge = world.gauge()
    armed = Armed("calls", "calls", {}, "native", (), set(), 0.0)
    armed.gauge = gauge
    world.passes(1.0, 1000)
    rows = [SimpleNamespace(armed=armed), SimpleNamespace(armed=SimpleNamespace(gauge=None))]
    cost, none = of_running(rows)  # type: ignore[arg-type]
    assert cost is not None
    assert (round(cost.events_per_s), none) == (2000, None)


def test_the_event_before_a_call_is_its_callers() -> None:
    # Whoever is switched off, the sum of what each saves is what all of them add.
    leaf, caller = Counts(python=1_000_000), Counts(python=1, uncounted=1_000_000)
    spent = overhead_between(look(0, 0, Counts()), look(1, 1000, Counts(python=1_000_001, uncounted=1_000_001)), PRICES)
    assert spent is not None
    rows = [FunctionCounts(1, leaf, 100 * MS), FunctionCounts(2, caller, 2 * MS)]
    # 80 ms are the leaf's, 20 ms its caller's, which is no short one.
    assert [one.index for one in to_switch_off(rows, PRICES, spent, 0.03)] == [1]
    assert [one.index for one in to_switch_off(rows, PRICES, spent, 0.01)] == [1]


@pytest.mark.parametrize(
    ("share", "limit", "told"),
    [
        (0.493, 0.2, "49%"),
        (1.5, 0.2, "150%"),
        (0.0734, 0.05, "7.3%"),
        (0.0023, 0.001, "0.23%"),
        (0.00074, 0.001, "0.074%"),
        (0.2004, 0.2, "20.04%"),
        (0.2 + 1e-12, 0.2, "20.000000%"),
        (0.0, 0.001, "0%"),
    ],
)
def test_a_share_is_told_so_that_it_is_not_its_limits_contrary(share: float, limit: float, told: str) -> None:
    assert percent(share, above=limit) == told
