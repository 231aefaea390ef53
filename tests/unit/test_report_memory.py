"""Reports on memory and censuses: the settings, the summary, comparisons, and what a hostile target may say."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import replace
from typing import Any

import pytest
from call_trees import header
from execd.attach.process_memory import parse_rollup
from execd.errors import AgentFailed, UsageError
from execd.imports.tracemalloc_file import Snapshot, Trace, profile_of
from execd.model.profile import Column, Function, Label, Location, Profile
from execd.model.source import SourceFile
from execd.reports import ReportOptions, View, render
from execd.sessions.memory import whereabouts

APP, MAIN = ("/srv/pkg/app.py", 2), ("/srv/main.py", 9)
SOURCE = b"# -*- coding: latin-1 -*-\n\tmade = 'caf\xe9'\n"
DIGEST = hashlib.sha256(SOURCE).hexdigest()
TRACES = (
    Trace(0, 1000, 3, (MAIN, APP), 2),
    Trace(0, 600, 1, (MAIN, ("<frozen importlib._bootstrap>", 241)), 2),
    Trace(5, 100, 2, (("/srv/\x1b[31m.py", 1),), 1),
)


def memory(*traces: Trace, **extra: object) -> Profile:
    profile = profile_of(Snapshot(traces, 2), header(extra=extra))
    return replace(profile, files=(SourceFile(APP[0], DIGEST, (2,)),))


def shown(profile: Profile, form: str = "text", *, earlier: Profile | None = None, **options: Any) -> str:
    limits = options.pop("limits", ())
    asked = ReportOptions(settings=options, limits=limits, source={DIGEST: SOURCE}.get)
    return render(profile, form, asked, earlier).decode()


def test_the_summary_is_that_of_the_documentation() -> None:
    text = shown(memory(*TRACES))
    assert text.partition("\n\n")[2].splitlines() == [
        "Top 10 lines",
        "  size     %            blocks  average  line",
        "3000 B  93.8  ███████▌       3   1000 B  pkg/app.py:2",
        "    made = 'caf\u00e9'",
        " 200 B   6.2  ▌              2    100 B  srv/\\x1b[31m.py:1",
        "Total allocated size: 3.1 KiB",
    ]
    assert "1 other: 0.2 KiB" in shown(memory(*TRACES), limits=("1",))


def test_what_share_of_the_process_is_explained() -> None:
    text = shown(
        memory(
            *TRACES, traced_bytes=3000, peak_bytes=5000, own_bytes=1000, rss_bytes=8000, pss_bytes=7000, swap_bytes=0
        )
    )
    assert "traced: 25% of RSS" in text
    assert "of it execd's own 1000 B" in text


def test_a_traceback_is_cut_and_turned() -> None:
    profile = memory(TRACES[0])
    assert '  File "/srv/main.py", line 9\n  File "/srv/pkg/app.py", line 2\n' in shown(profile, by="traceback")
    newest = shown(profile, by="traceback", frames=1)
    assert 'app.py", line 2\n    made' in newest
    assert 'main.py", line' not in newest
    # As the documentation of tracemalloc has it; its code leaves the newest one out.
    oldest = shown(profile, by="traceback", frames=-1)
    assert 'main.py", line 9' in oldest
    assert 'app.py", line' not in oldest
    turned = shown(profile, by="traceback", most_recent_first=True)
    assert turned.index('app.py", line') < turned.index('main.py", line')


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({"include": ["/srv/pkg/*"]}, {"/srv/pkg/app.py"}),
        ({"include": ["/srv/pkg/app.py:3"]}, set()),
        ({"include": ["/srv/main.py:9"], "all_frames": True}, {"/srv/pkg/app.py", "<frozen importlib._bootstrap>"}),
        ({"exclude": ["*app.pyc", "<frozen*"]}, {"/srv/\x1b[31m.py"}),
        ({"domain": 5}, {"/srv/\x1b[31m.py"}),
    ],
)
def test_filters(settings: dict[str, Any], places: set[str]) -> None:
    found = json.loads(shown(memory(*TRACES), "json", by="lineno", **settings))
    assert {row["frames"][0]["file"] for row in found["statistics"]} == places


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"include": ["/srv/pgk/*"]}, ["--include /srv/pgk/*"]),
        ({"include": ["/srv/pkg/*", "/srv/pkg/app.py:3"]}, ["--include /srv/pkg/app.py:3"]),
        ({"exclude": ["/srv/x*"], "by": "lineno"}, ["--exclude /srv/x*"]),
        ({"include": ["/srv/main.py"]}, ["--include /srv/main.py"]),
        ({"include": ["/srv/main.py"], "all_frames": True}, []),
        ({"include": ["*/app.py"], "exclude": ["*.pyc"]}, []),
    ],
)
def test_a_pattern_that_fits_nothing_is_told_with_what_there_is(settings: dict[str, Any], told: list[str]) -> None:
    lines = " ".join(shown(memory(*TRACES), **settings).split())
    there = "; there are /srv/pkg/app.py, <frozen importlib._bootstrap>, /srv/\\x1b[31m.py"
    for one in told:
        assert f"no blocks fit {one}{there}" in lines
    assert lines.count("no blocks fit") == len(told)


@pytest.mark.parametrize(
    "settings",
    [
        {"by": "type"},
        {"by": "traceback", "cumulative": True},
        {"cumulative": 1},
        {"domain": "0"},
        {"domain": -1},
        {"frames": True},
        {"include": "x"},
        {"exclude": [1]},
        {"missing": True},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any]) -> None:
    for form in ("text", "json"):
        with pytest.raises(UsageError):
            shown(memory(*TRACES), form, **settings)


def test_options_of_tables_are_refused() -> None:
    for options in (ReportOptions(sort=("time",)), ReportOptions(view=View.CALLERS), ReportOptions(reverse=True)):
        with pytest.raises(UsageError, match="does not fit"):
            render(memory(*TRACES), "text", options)


def test_stacks_have_their_bytes() -> None:
    assert shown(memory(TRACES[0]), "collapsed") == "/srv/main.py:9;/srv/pkg/app.py:2 3000\n"


def test_a_comparison_names_what_became_of_each_place() -> None:
    earlier = memory(Trace(0, 10, 5, (MAIN,), 1), Trace(0, 10, 5, (APP,), 1), Trace(0, 1, 1, (("/a", 1),), 1))
    later = memory(Trace(0, 10, 9, (MAIN,), 1), Trace(0, 70, 64, (("/b", 1),), 1), Trace(0, 1, 1, (("/a", 1),), 1))
    text = shown(later, earlier=earlier, by="lineno")
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["new"], ["grown"], ["freed"], ["in"])]
    assert rows[0] == ["new", "+4480", "B", "+64", "/b:1"]
    assert rows[1] == ["grown", "+40", "B", "+4", "/srv/main.py:9"]
    assert rows[2] == ["freed", "-50", "B", "-5", "/srv/pkg/app.py:2"]
    assert rows[-1] == ["in", "all", "+4470", "B", "+63", "3"]
    assert "/b:1: size=4480 B (+4480 B), count=64 (+64), average=70 B" in text
    document = json.loads(shown(later, "json", earlier=earlier))
    assert [row["change"] for row in document["statistics"]] == ["new", "freed", "grown", "same"]


def census(**counts: int) -> Profile:
    names = list(counts)
    return Profile(
        header=header(collector="census", extra={"referrers_of": "Kept", "referrers": ["3 builtins.\x1blist"]}),
        functions=tuple(Function(name, name, "app", 0) for name in names),
        locations=tuple(Location(index, 0) for index in range(len(names))),
        labels=(Label(0, "", 1),),
        parents=array("i", [-1] * len(names)),
        node_locations=array("i", range(len(names))),
        node_labels=array("i", [0] * len(names)),
        columns=(
            Column("objects", "count", array("q", counts.values())),
            Column("bytes", "bytes", array("q", [56 * count for count in counts.values()])),
        ),
    )


def test_a_census_and_what_became_of_it() -> None:
    text = shown(census(Kept=7, Other=2))
    assert [line.split() for line in text.splitlines() if "  app." in line] == [
        ["392", "B", "77.8", "██████▎", "7", "app.Kept"],
        ["112", "B", "22.2", "█▊", "2", "app.Other"],
    ]
    assert "3 builtins.\\x1blist" in text
    changed = shown(census(Kept=9, New=1), earlier=census(Kept=7, Other=2, Same=0))
    assert [line.split()[0] for line in changed.splitlines() if "  app." in line] == ["grown", "freed", "new"]
    rows = json.loads(shown(census(Kept=9), "json", earlier=census(Kept=7)))["types"]
    assert rows == [
        {"type": "app.Kept", "change": "grown", "count": 9, "count_delta": 2, "size": 504, "size_delta": 112}
    ]


def test_the_memory_of_a_process() -> None:
    data = b"55d0-7ffc ---p 00000000 00:00 0  [rollup]\nRss:    1234 kB\nPss:     12 kB\nPss_Anon: 3 kB\nSwap:  0 kB\n"
    assert parse_rollup(data) == {"rss_bytes": 1234 << 10, "pss_bytes": 12 << 10, "swap_bytes": 0}
    assert parse_rollup(b"Rss:\nPss: x kB\n\xff") == {}


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1},
        {"bytes": "1"},
        {"objects": {}},
        {"objects": [{"type": "t", "bytes": 1, "is_traced": 1, "frames": []}]},
        {"objects": [{"type": "t", "bytes": 1, "is_traced": True, "frames": [["f"]]}]},
        {"objects": [{"type": "t", "bytes": 1, "is_traced": True, "frames": [["f", 1 << 40]]}]},
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_refused(change: dict[str, Any]) -> None:
    answer = {"count": 1, "bytes": 1, "objects": [{"type": "t", "bytes": 1, "is_traced": True, "frames": [["f", 1]]}]}
    assert whereabouts(1, "s1", answer).objects[0].frames == (("f", 1),)
    with pytest.raises(AgentFailed):
        whereabouts(1, "s1", {**answer, **change})
