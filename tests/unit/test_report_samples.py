"""Reports of samples that the daemon took: text, JSON, and two of them compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from execd.errors import UsageError
from execd.model.merge import merge
from execd.model.profile import Label
from execd.model.views import LEFT_OUT
from execd.reports import ReportOptions, View, render
from execd.reports.layout import Layout
from execd.reports.widths import width_of
from sample_trees import EXTRA, INTERVAL_NS, MAIN, STACKS, STARTED_AT, WORKER, Stack, samples

if TYPE_CHECKING:
    from execd.model.profile import Profile

GOLDEN = Path(__file__).parent.parent / "golden"
PROFILE = samples()
# Half of them: of each stack the first.
OTHER = samples(
    [Stack(("main:3", "serve:10", "work:21"), (18, 2, 0, 9, 0)), Stack(("main:3", "old:9"), (8, 2, 0, 0, 1))],
    session="s2",
    profile="p3",
)


def text(profile: Profile, earlier: Profile | None = None, width: int = 0, **options: Any) -> str:
    """Return the text report."""
    return render(profile, "text", ReportOptions(layout=Layout(width), **options), earlier).decode()


def document(profile: Profile, earlier: Profile | None = None, **options: Any) -> Any:
    """Return the JSON report."""
    return json.loads(render(profile, "json", ReportOptions(**options), earlier))


def rows(profile: Profile, **options: Any) -> list[list[str]]:
    """Return the rows of the table in words, without bars."""
    options["layout"] = Layout(width=0, has_header=False, is_ascii=True)
    lines = render(profile, "text", ReportOptions(**options)).decode().splitlines()[1:]
    return [[word for word in line.split() if word.strip("#")] for line in lines]


@pytest.mark.parametrize("width", [80, 120])
def test_samples_are_shown_as_in_the_golden_reports(width: int) -> None:
    shown = text(PROFILE, width=width)
    assert shown == (GOLDEN / f"samples-{width}.txt").read_text("utf-8")
    assert max(map(width_of, shown.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_a_comparison_of_samples_is_shown_as_in_the_golden_reports(width: int) -> None:
    shown = text(PROFILE, OTHER, width=width)
    assert shown == (GOLDEN / f"samples-change-{width}.txt").read_text("utf-8")
    assert max(map(width_of, shown.splitlines())) <= width


def test_a_table_is_by_what_the_view_counts() -> None:
    assert rows(PROFILE)[:2] == [
        ["130.000", "65.0", "7.5", "130.000", "26", "App.work", "/srv/shop/server.py:5"],
        ["40.000", "20.0", "6.3", "40.000", "8", "App.compress", "/srv/app.py:9"],
    ]
    assert rows(PROFILE, settings={"view": "gil", "by": "line"})[:2] == [
        ["90.000", "58.1", "8.9", "90.000", "18", "App.work", "/srv/shop/server.py:21"],
        ["35.000", "22.6", "7.5", "35.000", "7", "App.work", "/srv/shop/server.py:22"],
    ]
    assert rows(PROFILE, settings={"view": "wall", "by": "file"}, sort=("cumulative",)) == [
        ["500.000", "100.0", "1.0", "240.000", "100", "/srv/shop/server.py"],
        ["250.000", "50.0", "5.0", "250.000", "50", "/srv/app.py"],
        ["10.000", "2.0", "1.4", "10.000", "2", "(unsettled)"],
    ]


def test_shares_of_many_samples_have_no_error_beside_them() -> None:
    many = samples([stack._replace(counts=tuple(400 * one for one in stack.counts)) for stack in STACKS])
    assert "±" not in text(many)
    assert "±" in text(PROFILE)
    assert "±" not in text(PROFILE, width=80)


@pytest.mark.parametrize("name", ["time", "cumulative", "name"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_table_is_ordered_as_asked(name: str, *, reverse: bool) -> None:
    found = [row[-2] for row in rows(PROFILE, sort=(name,), reverse=reverse) if len(row) > 4 and ":" in row[-1]]
    firsts = {"time": "App.work", "cumulative": "App.main", "name": "App.compress"}
    assert found[-1 if reverse else 0] == firsts[name]
    with pytest.raises(UsageError, match="not sorted by 'calls'"):
        rows(PROFILE, sort=("calls",))


def test_limits_are_those_of_pstats() -> None:
    assert [row[-2] for row in rows(PROFILE, limits=("app.py", "1"))] == ["App.compress"]


def test_callers_and_callees_are_along_their_edges() -> None:
    callers = rows(PROFILE, view=View.CALLERS, limits=("fib",))
    assert callers == [
        ["20.000", "20.000", "App.fib", "/srv/app.py:4"],
        ["100.0", "20.000", "10.000", "<-", "App.run", "/srv/shop/server.py:4"],
        ["50.0", "10.000", "10.000", "<-", "App.fib", "/srv/app.py:4"],
    ]
    callees = rows(PROFILE, view=View.CALLEES, limits=("run",), settings={"view": "wall"})
    assert [row[-2:] for row in callees] == [
        ["App.run", "/srv/shop/server.py:4"],
        ["App.get", "/srv/app.py:4"],
        ["App.compress", "/srv/app.py:9"],
        ["App.fib", "/srv/app.py:4"],
    ]
    assert rows(PROFILE, view=View.CALLERS, settings={"by": "file"}, limits=("app",))[1][-2:] == [
        "<-",
        "/srv/shop/server.py",
    ]


def test_a_table_for_each_thread_has_its_own_states() -> None:
    shown = text(PROFILE, per_thread=True)
    main, worker = shown.split("Thread worker (140000000002) of process 4711")
    assert "Of all 50 samples: running 56.0%, of it with the GIL 52.0%; waiting for the GIL 10.0%" in main
    assert "Of all 50 samples: running 24.0%, of it with the GIL 8.0%; waiting for the GIL 0.0%" in worker
    assert "System calls: futex 76.0%" in worker
    assert "12 samples of 3 functions" in text(PROFILE, thread="worker")


def test_an_idle_thread_is_there_with_nothing() -> None:
    idle = Stack(("run:7", "get:50"), (0, 0, 0, 0, 9), Label(3, "idle", 4711))
    shown = text(samples([*STACKS, idle]), per_thread=True)
    assert "(no functions)" in shown.partition("Thread idle")[2]
    assert "View wall" in text(samples([idle]))


def test_a_thread_of_many_slices_is_one_thread() -> None:
    stacks = [stack._replace(label=replace(stack.label, at_s=at_s)) for at_s in (10, 20, 30) for stack in STACKS]
    assert text(samples(stacks), per_thread=True).count("Thread worker (140000000002)") == 1
    assert "120 samples of 7 functions" in text(samples(stacks))


def test_bad_figures_are_told_as_caveats() -> None:
    assert "Caveat" not in text(PROFILE)
    bad = text(samples(extra={**EXTRA, "unsettled": 120, "achieved_hz": 150.0}))
    assert "Caveat: 9.1% of the stacks moved while they were read" in bad
    assert "Caveat: samples came at 75% of the rate asked for" in bad


def test_samples_of_stacks_that_were_too_deep_are_told_as_a_caveat() -> None:
    deep = [Stack((LEFT_OUT, "work:21"), (3, 0, 0, 0, 0)), Stack((LEFT_OUT, "work:21", "fib:31"), (0, 0, 0, 0, 22))]
    told = "25 samples (20.0%) had more frames than are read: (frames left out) stands for the outermost"
    # Of all samples, whatever the view.
    assert told in text(samples([*STACKS, *deep]), settings={"view": "cpu"})
    assert told in text(samples([*STACKS, *deep]), PROFILE)
    # A function of a program's may be called anything.
    assert "had more frames" not in text(samples([*STACKS, Stack(("main:3", LEFT_OUT), (9, 0, 0, 0, 0))]))


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({}, "stopped 120 times, p50 44 us, p99 102 us"),
        ({"stopped": 0, "stopping": "never"}, "0.0% lost; never stopped"),
        ({"stopped": 0}, "0.0% lost; nothing stopped"),
        ({"stop_refused": 1}, "p99 102 us, 1 stop refused"),
        ({"turns": 3}, "Sampled: 198.4 of 200 Hz; 3,968 samples: 30.2% verified, 0.3% unsettled"),
    ],
)
def test_the_figures_of_a_recording_are_one_line(extra: dict[str, object], told: str) -> None:
    (line,) = [one for one in text(samples(extra={**EXTRA, **extra})).splitlines() if one.startswith("Sampled: ")]
    assert told in line


def test_losses_are_told_by_reason_and_as_a_share() -> None:
    shown = text(samples(lost={"unread": 32, "threads_left_out": 9}))
    assert "Lost: unread: 32, threads_left_out: 9" in shown
    assert "0.8% lost" in shown


def sliced(*starts: int, **fields: Any) -> Profile:
    """Return samples in slices that begin so long after the start."""
    stacks = [
        stack._replace(label=replace(stack.label, at_s=STARTED_AT + start)) for start in starts for stack in STACKS
    ]
    return samples(stacks, ended_at=STARTED_AT + starts[-1] + 10.0, **fields)


@pytest.mark.parametrize(
    ("settings", "count", "span"),
    [
        ({"last_s": 5}, 40, "22:13:40 UTC, 10.000 s"),
        ({"last_s": 12.5}, 80, "22:13:30 UTC, 20.000 s"),
        ({"last_s": 3600}, 120, "22:13:20 UTC, 30.000 s"),
        ({"from_s": STARTED_AT + 10, "to_s": STARTED_AT + 20}, 40, "22:13:30 UTC, 10.000 s"),
        ({"from_s": STARTED_AT + 10}, 80, "22:13:30 UTC, 20.000 s"),
        ({"to_s": STARTED_AT + 10.5}, 80, "22:13:20 UTC, 20.000 s"),
    ],
)
def test_a_report_is_of_the_time_that_is_asked_for(settings: dict[str, object], count: int, span: str) -> None:
    shown = text(sliced(0, 10, 20), settings=settings)
    assert f"{count} samples of 7 functions" in shown
    assert f"Recorded: 2023-11-14 {span}" in shown
    assert "Part of: a recording of 30.000 s, in slices of 10 s" in shown
    assert "all this of the whole recording" in shown
    assert document(sliced(0, 10, 20), settings=settings)["totals"]["samples"] == count


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"last_s": 5, "to_s": 9}, "two spans"),
        ({"last_s": "5m"}, "last_s is a number of seconds"),
        ({"from_s": True}, "from_s is a number of seconds"),
        ({"last_s": 0}, "above 0"),
        ({"from_s": STARTED_AT + 20, "to_s": STARTED_AT + 10}, "ends before it begins"),
        ({"from_s": STARTED_AT + 900}, "ends before it begins"),
        ({"from_s": 5, "to_s": 6}, "nothing is kept from 1970-01-01"),
        ({"view": "all"}, "there is no view 'all' of samples"),
        ({"by": "lineno"}, "there is no by 'lineno' of samples"),
        ({"bias": 0}, "bias does not fit profiles of samples"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], why: str) -> None:
    for form in ("text", "json"):
        with pytest.raises(UsageError, match=why):
            render(sliced(0, 10), form, ReportOptions(settings=settings))


def test_parts_of_a_sum_are_of_the_same_time() -> None:
    first, second = sliced(0, 10), sliced(10, 20, session="s2", pid=4712)
    whole = merge([first, second])
    options = ReportOptions(settings={"from_s": STARTED_AT + 20, "to_s": STARTED_AT + 30}, per_process=False)
    assert b"40 samples of 7 functions" in render(whole, "text", options, parts=[first, second])


def test_json_has_every_figure_by_function() -> None:
    found = document(PROFILE, settings={"view": "wall"})
    assert (found["report"], found["view"], found["by"]) == ("samples", "wall", "function")
    assert found["totals"] == {
        "samples": 100,
        "wall_ns": 100 * INTERVAL_NS,
        "cpu_ns": 40 * INTERVAL_NS,
        "running_with_gil": 30,
        "running_without": 10,
        "waiting_with_gil": 1,
        "waiting_for_gil": 5,
        "waiting": 54,
    }
    assert found["waits"] == {"futex": 38, "epoll_wait": 13}
    (work,) = [one for one in found["functions"] if one["name"] == "work"]
    assert work["self"] == work["total"]
    assert (work["self"]["waiting_for_gil"], work["self"]["waiting"]) == (5, 0)
    assert found["functions"][0]["total"]["samples"] == 50
    assert document(PROFILE)["view"] == "cpu"


def test_json_has_tables_as_asked() -> None:
    found = document(PROFILE, per_thread=True)
    assert [(one["thread_name"], one["totals"]["samples"]) for one in found["threads"]] == [
        (MAIN.thread_name, 28),
        (WORKER.thread_name, 12),
    ]
    assert "functions" not in found
    (fib,) = [one for one in document(PROFILE, view=View.CALLERS)["functions"] if one["name"] == "fib"]
    assert {one["name"]: one["total"]["samples"] for one in fib["callers"]} == {"run": 4, "fib": 2}
    lines = document(PROFILE, settings={"by": "line"}, limits=("work",))["functions"]
    assert [(one["line"], one["self"]["samples"]) for one in lines] == [(21, 20), (22, 6)]


def test_a_whole_profile_has_all_samples() -> None:
    found = json.loads(render(PROFILE, "whole", ReportOptions()))
    assert (found["view"], found["totals"]["samples"]) == ("wall", 100)


def test_json_compares_shares() -> None:
    found = document(PROFILE, OTHER)
    assert (found["report"], found["view"], found["totals"]) == ("samples_change", "cpu", {"earlier": 30, "later": 40})
    changes = {one["name"]: one for one in found["changes"]}
    assert [one["name"] for one in found["changes"]][:3] == ["old", "compress", "fib"]
    assert changes["old"]["kind"] == "gone"
    assert changes["work"]["earlier"] == {"self": 20, "total": 20, "self_share": 2 / 3, "total_share": 2 / 3}
    assert changes["work"]["delta"]["self_share"] == pytest.approx(0.65 - 2 / 3)
    assert found["states"]["earlier"]["waiting_for_gil"] == 9


def test_a_comparison_of_one_session_is_with_what_came_after() -> None:
    later = samples([*STACKS, Stack(("main:3", "late:60"), (9, 1, 0, 0, 0))], ended_at=STARTED_AT + 30.0, profile="p9")
    shown = text(later, PROFILE)
    assert "40 samples then, 10 samples now" in shown
    assert "of one session: this is what came after it" in shown
    assert "Recorded: 2023-11-14 22:13:30 UTC, 20.000 s" in shown
    assert "of one session" not in text(PROFILE, OTHER)


def test_what_ran_compares_with_what_waited_by_one_view() -> None:
    idle = samples([Stack(("main:3", "serve:12"), (0, 0, 0, 0, 50))], session="s2")
    assert "View cpu" in text(idle, PROFILE)
    assert "0 samples then, 40 samples now" in text(PROFILE, idle)
    assert "50 samples then, 100 samples now" in text(PROFILE, idle, settings={"view": "wall"})


def test_hostile_names_stay_in_their_line() -> None:
    name = "a\x1b[2J\nb\u202e\udcff"
    hostile = samples([Stack(((name + ":1"),), (1, 0, 0, 0, 0), Label(7, name, 4711))])
    shown = text(hostile, width=100, per_thread=True)
    assert all(line.isprintable() for line in shown.splitlines())
    assert document(hostile)["functions"][0]["name"].startswith("a\x1b[2J\nb")
