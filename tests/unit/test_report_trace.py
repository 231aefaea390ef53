"""Reports on a trace: the wording of `trace`, sources from the store, escapes made harmless, JSON."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.attach.table import TABLE_BYTES
from execd.errors import UsageError
from execd.model.profile import Function
from execd.model.source import SourceFile
from execd.reports import ReportOptions, render
from execd.reports.trace.wording import call_text, module_name
from execd.sessions.stream.feed import Feed
from execd.sessions.stream.sources import TracedTexts
from traces import NAMES, PID, batch

if TYPE_CHECKING:
    from pathlib import Path

    from execd.model.profile import Profile

SOURCE = b"import x\n\tindented\twith tabs\nlast"
EVENTS = [(0, 0, 0), (20_000_000, 1, 0), (1_234_000_000, 2, 0), (1_300_000_000, 0, 9), (2_000_000_000, 99, 0)]


@pytest.fixture
def profile() -> Profile:
    """A trace of a call, two lines, 9 lost events, and a line that the file does not have."""
    feed = Feed({}, PID)
    feed.open("s1", 0.0)
    feed.accept(batch(EVENTS), PID, TABLE_BYTES)
    traced = feed.profile("s1", replace(header(), collector="trace"))
    return replace(traced, files=(SourceFile(NAMES[1], "d" * 64, ()),))


def options(**settings: Any) -> ReportOptions:
    return ReportOptions(settings=settings, source=lambda digest: SOURCE if digest == "d" * 64 else None)


def body(profile: Profile, asked: ReportOptions) -> list[str]:
    """The lines after the origin."""
    return render(profile, "text", asked).decode().partition("\n\n")[2].splitlines()


def test_lines_and_calls_stand_there_as_trace_prints_them(profile: Profile) -> None:
    assert body(profile, options()) == [
        " --- modulename: basket, funcname: work",
        "basket.py(1): import x",
        "basket.py(2):         indented        with tabs",
        " --- lost: 9 events",
        "basket.py(99)",
    ]


def test_with_timing_lines_begin_with_the_seconds_since_the_start(profile: Profile) -> None:
    assert body(profile, options(timing=True))[:3] == [
        " --- modulename: basket, funcname: work",
        "0.02 basket.py(1): import x",
        "1.23 basket.py(2):         indented        with tabs",
    ]


def test_without_the_source_the_places_stand_there(profile: Profile) -> None:
    assert body(replace(profile, files=()), options())[1] == "basket.py(1)"


def test_what_is_lost_is_told_at_the_top(profile: Profile) -> None:
    assert "Lost: events that came too fast: 9" in render(profile, "text", options()).decode()


def test_a_timing_that_is_none_is_refused(profile: Profile) -> None:
    with pytest.raises(UsageError, match="timing"):
        render(profile, "text", options(timing="yes"))


def test_names_of_a_target_drive_no_terminal() -> None:
    text = call_text(Function("evil\x1b[2J", "evil", "/app/a\nb.py", 1))
    assert text == r" --- modulename: a\x0ab, funcname: evil\x1b[2J"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/b/c.py", "c"), ("c", "c"), ("/a/.hidden", ".hidden"), ("/a/..b.c", "..b"), ("<string>", "<string>")],
)
def test_a_module_is_called_as_its_file(path: str, name: str) -> None:
    # posixpath is what trace.py asks.
    assert module_name(path) == name == os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122


def test_json_has_every_event_and_the_totals(profile: Profile) -> None:
    document = json.loads(render(profile, "json", options()))
    assert (document["report"], document["totals"]) == ("trace", {"lines": 3, "calls": 1, "lost": 9})
    events, places = document["events"], document["places"]
    assert (events["kind"], events["lost"]) == ([1, 0, 0, 2, 0], [0, 0, 0, 9, 0])
    assert events["time_ns"][:2] == [0, 20_000_000]
    assert places[events["place"][0]] == {"file": NAMES[1], "line": 0, "function": "work", "first_line": 10}
    assert places[events["place"][4]]["line"] == 99
    assert document["threads"][events["thread"][0]] == {"thread_id": 9, "thread_name": "MainThread"}


def test_sources_are_read_as_the_target_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative.py").write_bytes(b"# coding: latin-1\nname = '\xe9'")
    sources = TracedTexts(os.getpid())
    assert sources.line("relative.py", 2) == "name = 'é'\n"
    assert sources.line(str(tmp_path / "relative.py"), 1) == "# coding: latin-1\n"
    assert [sources.line("relative.py", line) for line in (0, 3)] == ["", ""]


def test_what_is_no_source_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b"# coding: no-such\nx")
    os.mkfifo(tmp_path / "pipe.py")
    sources = TracedTexts(os.getpid())
    paths = [str(tmp_path / name) for name in ("bad.py", "pipe.py", "missing.py")]
    assert [sources.line(path, 1) for path in (*paths, "<string>", "nul\0.py", "")] == [""] * 6


def test_sources_take_no_more_room_than_they_may(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.py").write_bytes(b"x = 1\n" * 1_000_000)
    sources = TracedTexts(os.getpid())
    for number in range(5):
        assert sources.line(str(tmp_path / f"{number}.py"), 1_000_000) == "x = 1\n"
    assert sources.kept_bytes <= 16 << 20
