"""The names of JSON documents: a comparison is called like the report on one profile."""

from __future__ import annotations

import json
from array import array

import pytest
from call_trees import Node, header, tree
from execd.imports.tracemalloc_file import Snapshot, Trace, profile_of
from execd.model.profile import ROOT, Column, Function, Label, Location, Profile, check
from execd.reports import FORMATS, ReportOptions, render
from line_profiles import call_profile, line_profile
from sample_trees import samples

FUNCTIONS = (Function("f", "f", "/a.py", 1), Function("g", "g", "/a.py", 5))
CENSUS = Profile(
    header(collector="census"),
    (Function("Kept", "Kept", "app", 0),),
    (Location(0, 0),),
    (Label(0, "", 1),),
    array("i", [ROOT]),
    array("i", [0]),
    array("i", [0]),
    (Column("objects", "count", array("q", [1])), Column("bytes", "bytes", array("q", [56]))),
)
PROFILES: dict[str, Profile] = {
    "functions": tree([Node(ROOT, "main")]),
    "lines": line_profile({("/a.py", 1): 1}),
    "called": call_profile(FUNCTIONS, (), collector="functions"),
    "callers": call_profile(FUNCTIONS, [(0, 1)]),
    "memory": profile_of(Snapshot((Trace(0, 1, 1, (("/a.py", 1),), 1),), 1), header()),
    "census": check(CENSUS),
    "samples": samples(),
}


def test_every_comparison_is_looked_at() -> None:
    compared = {name for name, formats in FORMATS.items() if "json" in formats and formats["json"].compare}
    assert compared == {profile.header.collector for profile in PROFILES.values()} | {"cover"}


@pytest.mark.parametrize("name", PROFILES)
def test_a_document_of_changes_is_called_like_that_of_one_profile(name: str) -> None:
    profile = PROFILES[name]
    alone = json.loads(render(profile, "json", ReportOptions()))
    compared = json.loads(render(profile, "json", ReportOptions(), earlier=profile))
    assert (alone["report"], compared["report"]) == (name, f"{name}_change")
    assert compared.keys() >= {"schema", "profile", "earlier"}
