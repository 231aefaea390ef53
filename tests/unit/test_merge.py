"""Sums of profiles: what adds up, what a sum says of itself, and what is refused."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest
from call_trees import Node, header, random_tree, tree
from execd.errors import UsageError
from execd.model import codec
from execd.model.fold import FunctionRow, by_function
from execd.model.lines.listing import counts_by_file
from execd.model.memory.blocks import blocks_of
from execd.model.merge import merge
from execd.model.origins import origins_of
from execd.model.profile import IMPORTED, ROOT, Column, Function, Header, Label, Location, Profile
from execd.model.source import SourceFile
from execd.model.summed import summed
from execd.reports import ReportOptions, render

FILE = "/srv/app.py"


def flat(columns: dict[str, list[int]], *, files: tuple[SourceFile, ...] = (), **fields: object) -> Profile:
    """A profile of a node for each value, each on a line of its own."""
    size = len(next(iter(columns.values())))
    return Profile(
        header(**fields),
        (Function("work", "work", FILE, 1),),
        tuple(Location(0, line) for line in range(1, size + 1)),
        (Label(0, "", 0),),
        array("i", [ROOT] * size),
        array("i", range(size)),
        array("i", [0] * size),
        tuple(Column(name, "count", array("q", values)) for name, values in columns.items()),
        files,
    )


def text(profile: Profile) -> str:
    return render(profile, "text", ReportOptions()).decode()


def test_a_sum_says_of_what_it_is() -> None:
    parts = [
        tree([Node(ROOT, "main")], profile="p3", session="s1"),
        tree([Node(ROOT, "main")], profile="p5", session="s2", pid=99, command_line=("python3", "other.py")),
    ]
    merged = merge(parts)
    assert [one.profile for one in origins_of(merged.header)] == ["p3", "p5"]
    lines = text(merged).splitlines()
    assert lines[0] == "Sum of: 2 profiles"
    assert lines[1].startswith("    p3: python3 app.py, process 4711, Python 3.11.7, session s1, 2023-")
    assert lines[2].startswith("    p5: python3 other.py, process 99, Python 3.11.7, session s2, 2023-")


def test_a_sum_of_sums_says_of_what_both_are_and_survives_being_stored() -> None:
    first, second, third = (tree([Node(ROOT, "main")], profile=f"p{n}", session=f"s{n}") for n in range(3))
    merged = merge([codec.decode(codec.encode(merge([first, second]))), third])
    assert [one.session for one in origins_of(merged.header)] == ["s0", "s1", "s2"]
    assert text(merged).startswith("Sum of: 3 profiles")


def test_a_hostile_list_of_parts_is_shown_as_far_as_it_goes() -> None:
    parts = [5, {"profile": 7, "pid": 1e400, "command_line": [1, "\x1b[2J"], "started_at": -1e99, "ended_at": "y"}]
    found = replace(tree([]), header=header(extra={"merged": parts}))
    assert "\x1b" not in text(found)
    assert text(found).startswith("Sum of: 1 profiles")


def test_snapshots_of_one_session_count_twice_and_say_so() -> None:
    merged = merge([tree([Node(ROOT, "main")]), tree([Node(ROOT, "main")])])
    assert any("2 of these are of session s1" in caveat for caveat in merged.header.caveats)
    assert not merge([tree([Node(ROOT, "main")])]).header.caveats


def test_a_session_that_is_in_a_sum_and_beside_it_counts_twice_and_says_so() -> None:
    first, second = (tree([Node(ROOT, "main")], profile=f"p{n}", session=f"s{n}") for n in (1, 2))
    told = merge([merge([first, second]), first]).header.caveats
    assert told == ("2 of these are of session s1: what they share counts twice",)
    assert not merge([merge([first]), second]).header.caveats


def test_sums_that_are_out_of_range_are_refused() -> None:
    parts = [tree([Node(ROOT, "main", 1 << 62)], session=f"s{n}") for n in (1, 2)]
    with pytest.raises(UsageError, match="out of range"):
        merge(parts)
    assert merge(parts[:1]).column("calls")[0] == 1 << 62


def test_callers_are_left_out_where_a_part_has_none() -> None:
    nodes = [Node(ROOT, "main"), Node(0, "work", 2)]
    merged = merge([tree(nodes), tree(nodes, options={"subcalls": False, "builtins": True}, session="s2")])
    assert all(not row.callers for row in by_function(merged).values())
    assert by_function(merged)["/srv/app.py", tree(nodes).functions[1].first_line, "work"].figures.calls == 4


def imported(profile: Profile) -> Profile:
    """What a profile becomes as a file of pstats."""
    return replace(summed(profile), header=header(form=IMPORTED, session="", pid=0, command_line=("a.prof",)))


@pytest.mark.parametrize("is_first", [True, False])
def test_what_was_imported_adds_up_with_what_was_recorded(*, is_first: bool) -> None:
    one, other = imported(random_tree(3)), random_tree(4)
    one = replace(one, header=replace(one.header, started_at=1_800_000_000.0, ended_at=1_800_000_000.0))
    whole = merge([one, other] if is_first else [other, one])
    assert (whole.header.started_at, whole.header.ended_at) == (other.header.started_at, other.header.ended_at)
    merged = by_function(whole)
    rows = [by_function(one), by_function(other)]
    for key, row in merged.items():
        parts = [found[key] for found in rows if key in found]
        figures = [replace(part.figures, open=0) for part in parts]
        assert row.figures == sum(figures[1:], figures[0])
        assert row.callers.keys() == {caller for part in parts for caller in part.callers}
    assert merged.keys() == rows[0].keys() | rows[1].keys()


def test_two_imported_files_add_up_callers_too() -> None:
    one = imported(random_tree(3))
    merged = by_function(merge([one, one]))
    assert merged == {
        key: FunctionRow(row.figures + row.figures, {caller: part + part for caller, part in row.callers.items()})
        for key, row in by_function(one).items()
    }


def test_hits_of_lines_add_up_and_marks_stay_marks() -> None:
    lines = [flat({"hits": [1, 0, 2]}, collector="lines"), flat({"hits": [4, 5, 0]}, collector="lines", session="s2")]
    assert counts_by_file(merge(lines)) == {FILE: {1: 5, 2: 5, 3: 2}}
    covers = [flat({"mark": [1, 0, 3]}, collector="cover"), flat({"mark": [2, 0, 1]}, collector="cover", session="s2")]
    assert list(merge(covers).column("mark")) == [2, 0, 3]


def test_blocks_of_one_place_and_several_sizes_stay_apart() -> None:
    memory = [
        flat({"blocks": [2], "bytes": [64], "frames": [3]}, collector="memory"),
        flat({"blocks": [1], "bytes": [32], "frames": [3]}, collector="memory", session="s2"),
        flat({"blocks": [1], "bytes": [500], "frames": [5]}, collector="memory", session="s3"),
    ]
    found = blocks_of(merge(memory))
    assert [(one.count, one.size, one.total_frames) for one in found] == [(3, 96, 3), (1, 500, 5)]


def test_other_texts_under_one_path_are_told() -> None:
    texts = [SourceFile(FILE, digest * 64, (1, 2)) for digest in "aab"]
    profiles = [flat({"hits": [1]}, collector="lines", files=(one,), session=f"s{n}") for n, one in enumerate(texts)]
    assert merge(profiles[:2]).header.caveats == ()
    (caveat,) = merge(profiles).header.caveats
    assert caveat.startswith(f"{FILE} was not the same text everywhere")
    assert merge(profiles).files[0].digest == "a" * 64


def test_a_text_that_one_alone_has_is_that_of_the_sum() -> None:
    unread, read = SourceFile(FILE, "", (), "was not read"), SourceFile(FILE, "a" * 64, (1, 2))
    profiles = [flat({"hits": [1]}, collector="lines", files=(one,)) for one in (unread, read)]
    assert merge(profiles).files == (read,)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"collector": "lines"}, "p1 is of calls, p2 of lines"),
        ({"collector": "calls"}, "p1 has calls, self_ns, open, p2 has hits: they do not add up"),
    ],
)
def test_what_does_not_fit_is_refused_by_both_names(fields: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        merge([tree([], profile="p1"), flat({"hits": [1]}, profile="p2", **fields)])


def test_traces_do_not_add_up() -> None:
    traces = [flat({"time_ns": [1], "kind": [0], "lost": [0]}, collector="trace", profile=f"p{n}") for n in (1, 2)]
    with pytest.raises(UsageError, match="p1 and p2 are traces"):
        merge(traces)


def test_the_search_path_and_the_longest_traceback_are_kept() -> None:
    extras = [
        {"search_path": ["/a", "/b"], "traceback_limit": 5, "traced_bytes": 8},
        {"search_path": ["/b", "/c"], "traceback_limit": 9, "traced_bytes": 8},
    ]
    merged: Header = merge([tree([], extra=extra) for extra in extras]).header
    assert (merged.extra["search_path"], merged.extra["traceback_limit"]) == (["/a", "/b", "/c"], 9)
    assert "traced_bytes" not in merged.extra
