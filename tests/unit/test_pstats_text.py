"""The format pstats-text beside the tables of pstats, which test_pstats.py compares: steps, settings, refusals."""

from __future__ import annotations

import io
import json
import marshal
import os
import pstats
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, random_tree, tree
from execd.errors import UsageError
from execd.model.merge import merge
from execd.model.profile import ROOT, Function, Label
from execd.reports import ReportOptions, View, render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from execd.model.profile import Profile

PARTS = [random_tree(seed, size=60) for seed in (5, 6, 7)]


def text(parts: list[Profile], steps: list[str] | None = None, **options: Any) -> str:
    """What is printed of one profile or several."""
    settings = {**options.pop("settings", {}), **({} if steps is None else {"steps": steps})}
    asked = ReportOptions(**options, settings=settings)
    return render(merge(parts), "pstats-text", asked, parts=parts).decode()


def by_pstats(folder: Path, parts: list[Profile], does: Callable[[Any, list[Any]], object]) -> str:
    """What pstats prints when that is done to the first file, the others being at hand."""
    stream, stats = io.StringIO(), []
    for number, part in enumerate(parts):
        file = folder / f"f{number}"
        file.write_bytes(render(part, "pstats", ReportOptions()))
        os.utime(file, (part.header.ended_at, part.header.ended_at))
        stats.append(pstats.Stats(str(file), stream=stream))
        stats[-1].files = [f"f{number}"]  # type: ignore[attr-defined]
    does(stats[0], stats[1:])
    return stream.getvalue()


def test_steps_are_done_in_their_order(tmp_path: Path) -> None:
    def work(stats: Any, rest: list[Any]) -> None:
        stats.add(rest[0])
        stats.strip_dirs()
        stats.add(rest[1])
        stats.sort_stats("name").print_stats()

    steps, settings = ["add", "strip", "add"], {"files": ["f0", "f1", "f2"]}
    expected = by_pstats(tmp_path, PARTS, work)
    assert text(PARTS, steps, sort=("name",), settings=settings) == expected
    assert text(PARTS, ["add", "add", "strip"], sort=("name",), settings=settings) != expected


def test_callees_that_pstats_does_not_look_for_again_stay_as_they_were(tmp_path: Path) -> None:
    def work(stats: Any, rest: list[Any]) -> None:
        stats.calc_callees()
        stats.add(rest[0])
        stats.sort_stats("name").print_callees()

    expected = by_pstats(tmp_path, PARTS[:2], work)
    assert text(PARTS[:2], ["callees", "add"], sort=("name",), view=View.CALLEES) == expected
    assert text(PARTS[:2], ["add"], sort=("name",), view=View.CALLEES) != expected


def test_callers_that_become_equal_are_lost_as_in_pstats_and_kept_in_ours() -> None:
    twins = [Function("run", "run", f"/srv/{folder}/m.py", 3) for folder in "ab"]
    profile = tree([Node(ROOT, twins[0]), Node(ROOT, twins[1]), Node(0, "leaf", 2), Node(1, "leaf", 3)])
    options = ReportOptions(view=View.CALLERS, strip_dirs=True, limits=("leaf",))
    assert "<-       3 " in render(profile, "pstats-text", options).decode()
    assert "  5    <- run " in render(profile, "text", options).decode()


def test_the_head_names_the_profile_and_the_end_of_its_span() -> None:
    profile = tree([Node(ROOT, "main")], profile="p12")
    assert render(profile, "pstats-text", ReportOptions()).decode().splitlines()[0].endswith("    p12")
    assert "2023" in render(profile, "pstats-text", ReportOptions()).decode().splitlines()[0]


def test_a_head_cannot_drive_a_terminal() -> None:
    assert "\x1b" not in text(PARTS[:1], settings={"files": ["\x1b[2J"]})


def test_one_thread_of_several_profiles_can_be_chosen() -> None:
    worker = Label(7, "worker", 4711)
    parts = [tree([Node(ROOT, "main", 2)]), tree([Node(ROOT, "main", 3), Node(ROOT, "main", 4, label=worker)])]
    printed = render(merge(parts), "pstats-text", ReportOptions(thread="worker"), parts=parts).decode()
    assert "         4 function calls in" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"per_thread": True}, "threads"),
        ({"sort": ("bogus",)}, "bogus"),
        ({"sort": ("t",)}, "may mean"),
        ({"limits": ("9" * 5000,)}, "5000 digits"),
        ({"steps": ["add"]}, "1 steps add a profile, and 0"),
        ({"steps": ["dance"]}, "no step 'dance'"),
        ({"settings": {"steps": "strip"}}, "steps is no list"),
        ({"settings": {"files": [1]}}, "files is no list"),
        ({"settings": {"files": ["a", "b"]}}, "2 files for 1 profiles"),
        ({"settings": {"timing": True}}, "timing does not fit"),
    ],
)
def test_what_pstats_cannot_do_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        text(PARTS[:1], **options)


def test_the_settings_are_of_this_format_alone() -> None:
    with pytest.raises(UsageError, match="steps does not fit"):
        render(PARTS[0], "text", ReportOptions(settings={"steps": []}))


def test_it_holds_no_comparison_and_nothing_of_an_empty_profile() -> None:
    with pytest.raises(UsageError, match="no comparison"):
        render(PARTS[0], "pstats-text", ReportOptions(), PARTS[1])
    with pytest.raises(UsageError, match="nothing was recorded"):
        render(tree([]), "pstats-text", ReportOptions())


def test_what_is_exported_of_a_sum_is_what_pstats_adds_up(tmp_path: Path) -> None:
    def work(stats: Any, rest: list[Any]) -> None:
        stats.add(*rest)
        added.update(stats.stats)

    added: dict[Any, Any] = {}
    by_pstats(tmp_path, PARTS, work)
    found = marshal.loads(render(merge(PARTS), "pstats", ReportOptions()))  # noqa: S302 -- our own bytes
    assert found.keys() == added.keys()
    for function, row in found.items():
        assert row[:4] == pytest.approx(added[function][:4])
        assert row[4].keys() == added[function][4].keys()


@pytest.mark.parametrize("options", [{}, {"strip_dirs": True, "sort": ("tottime", "nfl")}])
def test_json_has_what_get_stats_profile_has(tmp_path: Path, options: dict[str, Any]) -> None:
    file = tmp_path / "stats"
    file.write_bytes(render(PARTS[0], "pstats", ReportOptions()))
    stats = pstats.Stats(str(file))
    if options:
        stats.strip_dirs().sort_stats(*options["sort"])
    theirs = stats.get_stats_profile()
    document = json.loads(render(PARTS[0], "json", ReportOptions(**options)))
    assert document["totals"]["self_ns"] / 1e9 == pytest.approx(theirs.total_tt, abs=5e-4)
    # pstats keeps the last of several functions of one name.
    ours = {one["name"]: one for one in document["functions"]}
    if not options:
        ours = {name: _of(document["functions"], name, one) for name, one in theirs.func_profiles.items()}
    assert ours.keys() == theirs.func_profiles.keys()
    for name, row in theirs.func_profiles.items():
        one = ours[name]
        calls, primitive = one["calls"], one["primitive_calls"]
        assert (one["file"], one["line"]) == (row.file_name, row.line_number)
        assert row.ncalls == (f"{calls}" if calls == primitive else f"{calls}/{primitive}")
        assert [one["self_ns"] / 1e9, one["total_ns"] / 1e9] == pytest.approx([row.tottime, row.cumtime], abs=5e-4)


def _of(functions: list[dict[str, Any]], name: str, row: Any) -> dict[str, Any]:
    """Return the function of a report that pstats has under a name."""
    place = (row.file_name, row.line_number, name)
    return next(one for one in functions if (one["file"], one["line"], one["name"]) == place)
