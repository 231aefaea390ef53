"""What recording adds to a program: events times their prices, and how much dearer these are in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from execd.model.overhead import Counts, Look, Prices, overhead_between

MS = 10**6
PRICES = Prices(python=100.0, resumed=60.0, c=50.0, method=70.0, uncounted=20.0)


def look(at_s: float, cpu_ms: float, counts: Counts) -> Look:
    return Look(at_s, round(cpu_ms * MS), counts)


def test_an_overhead_is_what_is_added_of_what_there_would_be_without() -> None:
    # 1,000,000 calls are 100 ms of the 600 ms that were used.
    calls = Counts(python=1_000_000, uncounted=1_000_000)
    found = overhead_between(look(5.0, 100, Counts()), look(7.0, 700, calls), PRICES)
    assert found is not None
    assert (found.events_per_s, found.event_ns, found.share) == (1_500_000, pytest.approx(100 / 3), pytest.approx(0.2))


def test_each_kind_of_event_has_its_price() -> None:
    counts = Counts(python=0, resumed=1000, c=2000, method=3000, uncounted=4000)
    found = overhead_between(look(0.0, 0, Counts()), look(1.0, 10, counts), PRICES)
    assert found is not None
    assert found.added_ns == 1000 * 60 + 2000 * 50 + 3000 * 70 + 4000 * 20


@pytest.mark.parametrize(
    ("counts", "added_ns"),
    [
        # All were told before they began.
        (Counts(python=1000, uncounted=1000), 1000 * 100),
        # 400 were not: C code made these calls.
        (Counts(python=1000, uncounted=600), 600 * 100 + 400 * (100 - 20)),
        # 300 events more: of calls of types.
        (Counts(python=1000, uncounted=1300), 1000 * 100 + 300 * 20),
        # A resumption has no event before it, the call that makes a generator has.
        (Counts(python=1000, resumed=500, uncounted=1300), 1000 * 100 + 500 * 60 + 300 * 20),
    ],
)
def test_the_event_before_a_call_is_in_its_price_once(counts: Counts, added_ns: int) -> None:
    found = overhead_between(look(0.0, 0, Counts()), look(1.0, 900, counts), PRICES)
    assert found is not None
    assert found.added_ns == added_ns


def test_before_3_12_no_event_comes_before_a_call() -> None:
    prices = replace(PRICES, uncounted=0.0)
    found = overhead_between(look(0.0, 0, Counts()), look(1.0, 900, Counts(python=1000)), prices)
    assert found is not None
    assert found.added_ns == 1000 * 100


@pytest.mark.parametrize(
    ("earlier", "later", "times"),
    [
        # Those of the span, not those before it.
        (Counts(timed=1000, timed_ns=90_000), Counts(timed=2000, timed_ns=105_000), 1.5),
        # Too few in the span: all that there were.
        (Counts(timed=900, timed_ns=18_000), Counts(timed=1000, timed_ns=20_000), 2.0),
        # Nobody knows yet: as in most programs.
        (Counts(), Counts(timed=100, timed_ns=90_000), 1.15),
        # A loop is never dearer than a program, and what is held up is no event.
        (Counts(), Counts(timed=1000, timed_ns=5_000), 1.0),
        (Counts(), Counts(timed=1000, timed_ns=5_000_000), 4.0),
    ],
)
def test_events_cost_more_where_those_that_are_timed_take_longer(earlier: Counts, later: Counts, times: float) -> None:
    prices = replace(PRICES, timed=10.0)
    before, after = look(0.0, 0, earlier), look(1.0, 900, replace(later, python=1000, c=1000, uncounted=1000))
    found = overhead_between(before, after, prices)
    assert found is not None
    assert (found.dearer, found.added_ns) == (times, pytest.approx(times * 150_000))
    # Where none was timed as its price was measured, a price is what it is.
    plain = overhead_between(before, after, PRICES)
    assert plain is not None
    assert (plain.dearer, plain.added_ns) == (1.0, 150_000)


def test_where_all_instructions_are_slower_that_is_added_too() -> None:
    slow = replace(PRICES, slower=2.0)
    counts = Counts(python=1000, uncounted=1000, python_ns=500 * MS)
    found = overhead_between(look(0.0, 0, Counts()), look(1.0, 800, counts), slow)
    assert found is not None
    assert found.added_ns == 100_000 + (500 * MS - 100_000) / 2


def test_the_time_of_python_functions_is_a_share_of_what_was_used() -> None:
    slow = replace(PRICES, slower=2.0)
    # Threads waited for a processor for as long as they ran, in functions of either kind.
    counts = Counts(python=1000, uncounted=1000, python_ns=1200 * MS, c_ns=400 * MS)
    found = overhead_between(look(0.0, 0, Counts()), look(2.0, 800, counts), slow)
    assert found is not None
    assert found.added_ns == 100_000 + (600 * MS - 100_000) / 2


def test_in_time_slices_that_is_a_share_of_what_was_used_in_them() -> None:
    slow = replace(PRICES, slower=2.0)
    counts = Counts(python=1000, uncounted=1000, python_ns=400 * MS)
    after = replace(look(1.0, 800, counts), recorded=0.25)
    found = overhead_between(look(0.0, 0, Counts()), after, slow)
    assert found is not None
    assert (found.recorded, found.added_ns) == (0.25, 100_000 + (200 * MS - 100_000) / 2)


def test_what_is_added_never_comes_to_all_that_was_used() -> None:
    found = overhead_between(look(0.0, 0, Counts()), look(1.0, 1, Counts(python=10**9)), PRICES)
    assert found is not None
    assert found.share == pytest.approx(11.0)


def test_what_calls_take_by_themselves_is_not_added() -> None:
    # By the price nothing would be left; 10 million calls that take 40 ns where it was measured take 30 at least.
    prices = replace(PRICES, call=40.0)
    found = overhead_between(look(0.0, 0, Counts()), look(1.0, 900, Counts(python=10**7)), prices)
    assert found is not None
    assert (found.added_ns, found.share) == (600 * MS, pytest.approx(2.0))


def test_how_dear_events_are_is_told_by_looks_from_before_too() -> None:
    prices = replace(PRICES, timed=10.0)
    first = look(0.0, 0, Counts())
    earlier = look(9.0, 100, Counts(python=5000, timed=9000, timed_ns=90_000))
    later = look(10.0, 1000, Counts(python=6000, timed=10_000, timed_ns=120_000))
    # The last second alone had some that were held up.
    by = [overhead_between(earlier, later, prices, of_late) for of_late in (first, None)]
    assert [one.dearer for one in by if one is not None] == [pytest.approx(1.2), pytest.approx(3.0)]


def test_without_prices_events_are_counted_alone() -> None:
    found = overhead_between(look(0.0, 0, Counts()), look(2.0, 5, Counts(c=1000)), None)
    assert found is not None
    assert (found.events_per_s, found.share) == (1000, None)
    assert overhead_between(look(1.0, 0, Counts()), look(1.0, 0, Counts()), PRICES) is None


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"python": 1.0},
        {"python": "1", "resumed": 2.0},
        {"python": -1.0, "resumed": 2.0},
        {"python": float("nan"), "resumed": 2.0},
        {"python": True, "resumed": 2.0},
        {"python": 1e30, "resumed": 2.0},
    ],
)
def test_prices_that_no_agent_of_ours_tells_are_none(said: object) -> None:
    assert Prices.read(said) is None


def test_prices_are_read_as_they_are_told() -> None:
    assert Prices.read({"python": 3, "resumed": 2.0, "c": 5.0, "other": "x"}) == Prices(3, 2.0, 5.0, 5.0)
    assert Prices.read({"python": 3, "resumed": 2.0, "slower": 0.5}) == Prices(3, 2.0)


@pytest.mark.parametrize("said", [None, [], {"python": -1}, {"python": 1 << 63}, {"c": 1.5}, {"c": True}])
def test_counts_that_no_agent_of_ours_tells_are_none(said: object) -> None:
    assert Counts.read(said) is None
