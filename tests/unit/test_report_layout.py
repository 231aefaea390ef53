"""Every text report fits its width, whatever the names are, and is the same text with colours and without."""

from __future__ import annotations

import json
import re
from array import array

import pytest
from call_trees import Node, header, tree
from execd.imports.files import profiles_of
from execd.imports.tracemalloc_file import Snapshot, Trace, profile_of
from execd.model.profile import IMPORTED, ROOT, Column, Function, Label, Location, Profile, check
from execd.reports import ReportOptions, View, growth, render
from execd.reports.layout import Layout
from execd.reports.widths import width_of
from line_profiles import Sources, line_profile

LONG = "/srv/" + "a/very/long/path/of/度度度度/" * 9 + "module.py"
NAME = "Outer.<locals>.Inner." * 9 + "method"
WIDTH = 80


def census(count: int) -> Profile:
    columns = (Column("objects", "count", array("q", [count])), Column("bytes", "bytes", array("q", [56 * count])))
    places = (Location(0, 0),), (Label(0, "", 1),), array("i", [ROOT]), array("i", [0]), array("i", [0]), columns
    return check(Profile(header(collector="census", profile="p1"), (Function("K", NAME, "app", 0),), *places))


def profiles() -> dict[str, Profile]:
    """A profile of each collector with names that are too long."""
    (samples,) = profiles_of(f"{LONG}:3({NAME});{NAME} 7\n".encode(), "collapsed", header(form=IMPORTED, session=""))
    calls = [Node(ROOT, Function("method", NAME, LONG, 7), 3, 9), Node(0, Function("inner", NAME, LONG, 8), 1, 5)]
    lines = {(LONG, 1): 5, ("/a.py", 2): 1}
    return {
        "calls": tree(calls, command_line=(LONG, NAME), caveats=(f"{NAME} " * 9,), lost={NAME: 3}, profile="p1"),
        "lines": line_profile(lines, files=[Sources().add(LONG, b"x\n", [1], f"was not read: {LONG}")]),
        "cover": line_profile(lines, collector="cover"),
        "memory": profile_of(Snapshot((Trace(0, 9, 1, ((LONG, 1), (NAME, 2)), 2),), 2), header()),
        "census": census(5),
        "samples": samples,
    }


PROFILES = profiles()


def texts(name: str, layout: Layout) -> list[str]:
    """The text reports of a collector: alone, by its views, compared, and what grew."""
    profile, options = PROFILES[name], ReportOptions(layout=layout)
    views = [ReportOptions(layout=layout, view=view) for view in View] if name == "calls" else [options]
    found = [render(profile, "text", one) for one in views]
    if name in ("calls", "lines", "cover", "census"):
        found.append(render(profile, "text", options, tree([]) if name == "calls" else profile))
    if name == "census":
        found.append(growth.render([census(1), census(2)], "text", options, 0))
    return [one.decode() for one in found]


@pytest.mark.parametrize("name", PROFILES)
def test_no_line_is_wider_than_was_asked(name: str) -> None:
    for layout in (Layout(WIDTH), Layout(WIDTH, is_ascii=True)):
        for text in texts(name, layout):
            # A command is to be pasted as it stands.
            lines = [line for line in text.splitlines() if not line.startswith("next: ")]
            assert max(map(width_of, lines)) <= WIDTH, text


@pytest.mark.parametrize("name", PROFILES)
def test_a_wide_report_holds_every_name_whole(name: str) -> None:
    for text in texts(name, Layout(width=0)):
        assert "…" not in text
    assert NAME in texts(name, Layout(width=0))[0] or LONG in texts(name, Layout(width=0))[0]


@pytest.mark.parametrize("name", PROFILES)
def test_colours_are_all_that_differs(name: str) -> None:
    for plain, colored in zip(texts(name, Layout()), texts(name, Layout(has_color=True)), strict=True):
        assert colored != plain == re.sub("\x1b\\[[0-9;]+m", "", colored)


@pytest.mark.parametrize("name", PROFILES)
def test_without_a_header_the_table_is_left(name: str) -> None:
    for whole, alone in zip(texts(name, Layout()), texts(name, Layout(has_header=False)), strict=True):
        assert all(line in whole.splitlines() for line in alone.splitlines())
        assert not re.search(r"^(Target|File|Recorded|Lost|Caveat|next|Ordered by)", alone, re.MULTILINE)


def test_a_process_without_a_command_line_has_a_header() -> None:
    profile = tree([], command_line=(), python_version="x" * 90)
    assert "(command line unknown)" in render(profile, "text", ReportOptions(layout=Layout(60))).decode()


def test_json_knows_no_layout() -> None:
    narrow, wide = (render(PROFILES["calls"], "json", ReportOptions(layout=Layout(width))) for width in (60, 0))
    assert narrow == wide
    assert json.loads(narrow)["functions"]
