"""pstats' tables of recorded profiles, byte for byte: the interpreter that was recorded prints the exported file."""

from __future__ import annotations

import base64
import json
import os
import pstats
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import Drivers
from execd.model import codec
from execd.reports import ReportOptions, View, render
from execd_api.v1.sessions_pb2 import SessionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from execd.model.profile import Profile
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
PRINT = {View.FUNCTIONS: "print_stats", View.CALLERS: "print_callers", View.CALLEES: "print_callees"}
STATS, CALLERS, CALLEES = View
KEYS = (
    *("calls", "cumtime", "cumulative", "filename", "line", "module", "name", "ncalls", "nfl", "pcalls", "stdname"),
    *("time", "tottime", "cumu", "ti", "p", "std", "f", "fi", "file", "l", "m", "na", "nc", "ca", "tot"),
)


def table(
    *sort: str,
    view: View = STATS,
    limits: tuple[Any, ...] = (),
    strip: bool = False,
    files: tuple[int, ...] = (0,),
    reverse: bool = False,
) -> dict[str, Any]:
    """A table to compare."""
    numeric = [int(one) if one.lstrip("-").isdigit() else one for one in sort]
    return {
        "files": files,
        "strip": strip,
        "sort": numeric,
        "reverse": reverse,
        "print": PRINT[view],
        "limits": limits,
    }


TABLES = [
    *(table(key) for key in KEYS),
    *(table(key) for key in ("-1", "0", "1", "2")),
    *(table(key, view=CALLERS, reverse=True, limits=(0.4,)) for key in ("tottime", "nfl", "-1")),
    *(table(key, view=CALLEES, strip=True) for key in ("calls", "file", "2")),
    table(),
    table(reverse=True),
    table("time", "name", limits=(7,)),
    table("file", "line", "name", reverse=True),
    table("pcalls", "time", "nfl", strip=True, limits=(0.5, "workload", 3)),
    table("cumulative", limits=("workload", 0.31)),
    table("cumulative", limits=("built-in|method", 4), reverse=True),
    table("name", limits=("no such function",)),
    table("name", limits=(0,)),
    table("name", limits=(9999, 1.0, 0.0)),
    table("name", limits=("(",)),
    table("name", limits=(-3,)),
    table("stdname", view=CALLERS, limits=("fibonacci|is_even",)),
    table("stdname", view=CALLEES, limits=("fibonacci|is_even|run",), reverse=True),
    table(view=CALLERS, limits=(5,)),
    table(view=CALLEES, strip=True, limits=(0.2,)),
    *(table("cumulative", "nfl", files=files) for files in ((0, 1), (1, 0), (0, 1, 2), (1, 1))),
    table("tottime", files=(0, 1, 2), view=CALLERS, strip=True),
    table("tottime", files=(2, 0, 1), view=CALLEES, limits=("step|work", 6)),
    table(files=(2, 0), strip=True, limits=(0.9,)),
    *(table("stdname", view=view, files=files) for view in (CALLERS, CALLEES) for files in ((3,), (0, 3))),
    *(table("stdname", view=view, files=files) for view in (CALLERS, CALLEES) for files in ((3,), (0, 3))),
]


@pytest.fixture(scope="module")
def drivers() -> Iterator[Drivers]:
    """Where the drivers lie for each interpreter; copies in other roots are removed at the end."""
    found = Drivers()
    yield found
    found.remove()


def recorded(daemon: Daemon, program: Program, command: str, **options: bool) -> Profile:
    """The profile of what a program does on a command, called by the session's id."""
    spec = SessionSpec(collector="calls", options_json=json.dumps({"builtins": True, "subcalls": True} | options))
    session = daemon.attach(program.pid, spec).sessions[0]
    program.ask(command)
    daemon.detach(program.pid)
    profile = codec.decode(daemon.final_profile(session.id))
    return replace(profile, header=replace(profile.header, profile=f"p{session.id}"))


def ours(profiles: list[Profile], asked: dict[str, Any]) -> str:
    """Our table."""
    options = ReportOptions(
        sort=tuple(map(str, asked["sort"])),
        reverse=asked["reverse"],
        limits=tuple(map(str, asked["limits"])),
        view=next(view for view, name in PRINT.items() if name == asked["print"]),
        strip_dirs=asked["strip"],
    )
    first, *_ = chosen = [profiles[number] for number in asked["files"]]
    return render(first, "pstats-text", options, parts=chosen).decode()


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_every_table_is_what_pstats_prints_for_the_exported_file(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, drivers: Drivers
) -> None:
    worker, threads = spawn(interpreter, "reading"), spawn(interpreter, "threads", "3")
    profiles = [recorded(daemon, worker, f"work {passes}") for passes in (2, 3)]
    profiles.append(recorded(daemon, threads, "run 50"))
    profiles.append(recorded(daemon, worker, "work 1", subcalls=False))
    files = []
    for profile in profiles:
        content = base64.b64encode(render(profile, "pstats", ReportOptions())).decode()
        files.append(f"{profile.header.profile} {profile.header.ended_at!r} {content}")
    theirs = drivers.run(interpreter, "printing_stats", json.dumps(TABLES), *files)
    assert len(theirs) == len(TABLES) > 50
    assert sum("fibonacci" in text for text in theirs) > 30
    # Which functions a share by time leaves differs from run to run.
    assert sum("(step)" in text for text in theirs) > 1
    for asked, text in zip(TABLES, theirs, strict=True):
        assert ours(profiles, asked) == text, asked


def test_execctl_prints_the_sum_of_sessions_as_pstats_does(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path
) -> None:
    sessions = []
    for passes in (2, 3):
        program = spawn(local_interpreter, "reading")
        sessions.append(daemon.record_calls(program.pid).id)
        program.ask(f"work {passes}")
        daemon.detach(program.pid)
    for session in sessions:
        daemon.execctl("export", session, "--format", "pstats", "-o", os.fspath(tmp_path / session))
    printed = StringIO()
    stats = pstats.Stats(*(str(tmp_path / session) for session in sessions), stream=printed)
    stats.sort_stats("cumulative").print_stats("workload", 0.5)
    told = daemon.execctl(
        "report", *sessions, "--format", "pstats-text", "--sort", "cumulative", "--limit", "workload", "--limit", "0.5"
    )
    assert told.partition("\n\n")[2] == printed.getvalue().partition("\n\n")[2]
    head, _, _ = daemon.execctl("report", *sessions).partition("\n\n")
    assert "Sum of: 2 profiles" in head
    assert all(f"session {session}" in " ".join(head.split()) for session in sessions)
    export = tmp_path / "sum"
    daemon.execctl("export", *sessions, "--format", "pstats", "-o", os.fspath(export))
    whole = pstats.Stats(str(export), stream=StringIO())
    assert whole.total_calls == stats.total_calls  # type: ignore[attr-defined]
