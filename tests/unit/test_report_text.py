"""The text report, held against what pstats prints for the same figures."""

from __future__ import annotations

import io
import marshal
import pstats
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import MAIN, Node, function, random_tree, tree
from execd.errors import UsageError
from execd.model.profile import ROOT, Function, Label
from execd.reports import ReportOptions, View, render
from execd.reports.selection import SORT_KEYS, resolve

if TYPE_CHECKING:
    from execd.model.profile import Profile

GOLDEN = Path(__file__).parent.parent / "golden"
PROFILE = random_tree(5)
PRINT = {
    View.FUNCTIONS: pstats.Stats.print_stats,
    View.CALLERS: pstats.Stats.print_callers,
    View.CALLEES: pstats.Stats.print_callees,
}


def text(profile: Profile, earlier: Profile | None = None, **options: Any) -> str:
    """Return the text report."""
    return render(profile, "text", ReportOptions(**options), earlier).decode()


def body(report: str) -> list[str]:
    """Return the lines from how the table is ordered on, without the empty ones at the end."""
    lines = report.rstrip("\n").split("\n")
    return lines[next(n for n, line in enumerate(lines) if line.startswith("   Ordered by")) :]


def printed_by_pstats(path: Path, profile: Profile, options: ReportOptions) -> list[str]:
    """Return what pstats prints for our own export of a profile."""
    path.write_bytes(render(profile, "pstats", ReportOptions()))
    stream = io.StringIO()
    stats = pstats.Stats(str(path), stream=stream)
    if options.strip_dirs:
        stats.strip_dirs()
    stats.sort_stats(*(int(one) if re.fullmatch("-?[0-9]", one) else one for one in options.sort))
    if options.reverse:
        stats.reverse_order()
    limits = [
        int(one) if one.isdigit() else float(one) if one.count(".") == 1 and one[-1].isdigit() else one
        for one in options.limits
    ]
    PRINT[options.view](stats, *limits)
    return body(stream.getvalue())


@pytest.mark.parametrize("sort", [*((one,) for one in SORT_KEYS), ("-1",), ("0",), ("1",), ("2",), ("nam", "li")])
@pytest.mark.parametrize("strip_dirs", [False, True])
@pytest.mark.parametrize("view", list(View))
def test_every_sort_key_prints_what_pstats_prints(
    sort: tuple[str, ...], view: View, tmp_path: Path, *, strip_dirs: bool
) -> None:
    options = ReportOptions(sort=sort, view=view, strip_dirs=strip_dirs)
    assert body(text(PROFILE, sort=sort, view=view, strip_dirs=strip_dirs)) == printed_by_pstats(
        tmp_path / "stats", PROFILE, options
    )


@pytest.mark.parametrize(
    "limits",
    [
        ("7",),
        (".5",),
        ("0.31",),
        ("1.0",),
        ("m1",),
        ("0.5", "built-in"),
        ("built-in", "0.5"),
        ("9999",),
        ("5", "3"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("view", list(View))
def test_every_limit_prints_what_pstats_prints(
    limits: tuple[str, ...], view: View, tmp_path: Path, *, reverse: bool
) -> None:
    options = ReportOptions(sort=("time", "nfl"), limits=limits, view=view, reverse=reverse)
    ours = text(PROFILE, sort=options.sort, limits=limits, view=view, reverse=reverse)
    assert body(ours) == printed_by_pstats(tmp_path / "stats", PROFILE, options)


def test_the_summary_line_is_that_of_pstats(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    path.write_bytes(render(PROFILE, "pstats", ReportOptions()))
    stream = io.StringIO()
    pstats.Stats(str(path), stream=stream).print_stats()
    (line,) = [one.strip() for one in stream.getvalue().splitlines() if "function calls" in one]
    assert line in text(PROFILE)


def test_prefixes_of_sort_keys_mean_what_they_mean_in_pstats() -> None:
    definitions = pstats.Stats().get_sort_arg_defs()
    by_pstats = {prefix: title for prefix, (_, title) in definitions.items()}
    ours = {}
    for prefix in {key[:size] for key in SORT_KEYS for size in range(1, len(key) + 1)}:
        try:
            ours[prefix] = SORT_KEYS[resolve([prefix])[0]][1]
        except UsageError:
            continue
    assert ours == by_pstats


@pytest.mark.parametrize("key", ["n", "cum", "c", "t", "bogus", "", "3"])
def test_an_unknown_or_ambiguous_sort_key_is_refused_with_all_keys(key: str) -> None:
    with pytest.raises(UsageError) as refused:
        text(PROFILE, sort=(key,))
    assert all(known in refused.value.remedy for known in SORT_KEYS)


def test_keys_after_a_numeric_one_are_ignored() -> None:
    assert text(PROFILE, sort=("1", "bogus")) == text(PROFILE, sort=("time",))


def test_the_usual_order_is_by_cumulative_time() -> None:
    assert text(PROFILE) == text(PROFILE, sort=("cumulative",))


@pytest.mark.parametrize("limit", ["(", "1.5", "-3", "-0.5", "*"])
def test_a_limit_that_means_nothing_is_refused(limit: str) -> None:
    with pytest.raises(UsageError):
        text(PROFILE, limits=(limit,))


def test_limits_that_leave_nothing_say_so() -> None:
    report = text(PROFILE, limits=("no such function",))
    assert "List reduced from 40 to 0 due to restriction <'no such function'>" in report
    assert "(no functions)" in report


def test_recursion_builtins_and_open_frames_are_shown_as_in_the_golden_report() -> None:
    profile = tree(
        [
            Node(ROOT, "main", 0, 1_500_000_000, open=1),
            Node(0, "fib", 1, 250_000_000),
            Node(1, "fib", 2, 125_000_000),
            Node(0, "<built-in method builtins.len>", 3, 1_000_000),
        ],
        lost={"overflow": 2, "nothing": 0},
        caveats=("since attach",),
    )
    assert text(profile, strip_dirs=True) == (GOLDEN / "report.txt").read_text()


def test_a_comparison_is_shown_as_in_the_golden_report() -> None:
    earlier = tree([Node(ROOT, "gone", 2, 5_000_000), Node(ROOT, "more", 1, 1_000_000), Node(ROOT, "less", 5)])
    later = tree([Node(ROOT, "new", 7, 9_000_000), Node(ROOT, "more", 2, 3_000_000), Node(ROOT, "less", 4)])
    assert text(later, earlier) == (GOLDEN / "change.txt").read_text()


def test_a_comparison_takes_sort_keys_and_limits() -> None:
    later = tree([Node(ROOT, "small", 9, 1), Node(ROOT, "large", 1, 9)])
    lines = text(later, tree([]), sort=("calls",), limits=("1",)).splitlines()
    small = f"/srv/app.py:{function('small').first_line}(small)"
    assert [line for line in lines if line.startswith("new")] == [
        f"new             9           +9     +0.000     +0.000 {small}"
    ]


WORKER = Label(7, "worker", 4711)


def test_a_table_for_each_thread_holds_its_own_calls() -> None:
    profile = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=WORKER)])
    first, second = text(profile, per_thread=True).split("Thread worker (7) of process 4711")
    assert f"Thread MainThread ({MAIN.thread_id})" in first
    assert "1 function calls" in first
    assert "2 function calls" in second


def test_one_thread_can_be_chosen() -> None:
    profile = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=WORKER)])
    assert "2 function calls" in text(profile, thread="worker")


def test_a_thread_that_was_not_there_earlier_compares_as_new() -> None:
    earlier = tree([Node(ROOT, "work", 1)])
    later = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=WORKER)])
    assert "1 new, 0 gone, 0 more, 0 less" in text(later, earlier, thread="worker")


@pytest.mark.parametrize("options", [{"view": View.CALLERS}, {"per_thread": True}])
def test_a_comparison_is_by_function_only(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="by function"):
        text(PROFILE, PROFILE, **options)


def test_an_empty_profile_has_an_empty_table() -> None:
    assert "0 function calls in 0.000 seconds" in text(tree([]))


def test_pstats_and_the_report_agree_on_hostile_names(tmp_path: Path) -> None:
    hostile = Function("a\x1b[2J\nb\u202e\udcff", "q", "/srv/\r\x9b.py", 3)
    profile = tree([Node(ROOT, hostile, 2, 5)])
    options = ReportOptions(sort=("calls",))
    assert body(text(profile, sort=("calls",))) == printed_by_pstats(tmp_path / "stats", profile, options)


def test_the_export_loads_with_the_figures_of_cprofile(tmp_path: Path) -> None:
    profile = tree([Node(ROOT, "fib", 1, 2_000), Node(0, "fib", 2, 1_000), Node(0, "<built-in method m.f>", 4)])
    stats = marshal.loads(render(profile, "pstats", ReportOptions()))  # noqa: S302 -- our own bytes
    fib = ("/srv/app.py", function("fib").first_line, "fib")
    assert stats[fib] == (1, 3, 3e-06, 3e-06, {fib: (2, 2, 1e-06, 1e-06)})
    assert stats["~", 0, "<built-in method m.f>"] == (4, 4, 0.0, 0.0, {fib: (4, 4, 0.0, 0.0)})
    (tmp_path / "stats").write_bytes(render(profile, "pstats", ReportOptions()))
    assert pstats.Stats(str(tmp_path / "stats")).total_calls == 7  # type: ignore[attr-defined]


def test_an_empty_pstats_file_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing was recorded"):
        render(tree([]), "pstats", ReportOptions())
