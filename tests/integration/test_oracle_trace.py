"""Programs of pyperformance while they are recorded: counts, summary, listings, functions and callers are `trace`'s.

`trace` runs the same work in the same process. All files count, the standard library's too. What docs/lines.md says of
the names of classes is the only difference, and each such name is as it is said there.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from judged import OWN_FILES, PROGRAMS, WORK_TIMEOUT_S, is_own, packages, recorded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

SOME = ("float",)
# The first version whose code tells its class.
QUALIFIED = (3, 11)
# The file of a method that the standard library makes, as dataclasses do, and names afterwards.
MADE_OF_TEXT = "<string>"

Named = tuple[str, str, str]


@pytest.mark.parametrize("name", SOME)
def test_what_trace_says_of_a_program_is_what_is_recorded(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path, name: str
) -> None:
    assert_same(daemon, local_interpreter, spawn, tmp_path, name)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_trace_of_each_version_says_of_programs_is_what_is_recorded(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, tmp_path: Path, name: str
) -> None:
    assert_same(daemon, interpreter, spawn, tmp_path, name)


def assert_same(daemon: Daemon, interpreter: Interpreter, spawn: Spawn, tmp_path: Path, name: str) -> None:
    """Holds what three sessions say of a program's work against what trace says."""
    program = spawn(interpreter, "benchmarked", packages(interpreter, "pyperformance"), name)
    lines, functions, callers = recorded(daemon, program, "lines", "functions", "callers")
    theirs = program.ask_json("trace", WORK_TIMEOUT_S)
    assert_counts(daemon.report(lines), theirs)
    assert_listings(daemon, lines, tmp_path, theirs)
    called = [named(row) for row in daemon.report(functions)["functions"]]
    assert_named(interpreter, {(one,) for one in called}, {(tuple(one),) for one in theirs["functions"]})
    pairs = {(named(row["caller"]), named(row["callee"])) for row in daemon.report(callers)["calls"]}
    assert_named(interpreter, pairs, {tuple(map(tuple, pair)) for pair in theirs["callers"]})


def assert_counts(report: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Each line of each file ran as often."""
    ours = {(file["path"], line): hits for file in report["files"] for line, hits in file["hits"]}
    counted = {(path, line): hits for path, line, hits in theirs["counts"] if not path.startswith("<")}
    ours, counted = ({place: hits for place, hits in one.items() if not is_own(place[0])} for one in (ours, counted))
    assert len(counted) > 100
    assert ours == counted
    assert report["profile"]["lost"] == {}


def assert_listings(daemon: Daemon, session: str, folder: Path, theirs: dict[str, Any]) -> None:
    """The summary and each listing are the same, lines that did not run included."""
    options = ("-C", str(folder / "listings"), "--flat", "--missing", "--summary")
    summary = without_own(daemon.execctl("report", session, *options).splitlines())
    listings = {
        path.name: path.read_bytes().decode("latin-1")
        for path in (folder / "listings").iterdir()
        if not is_own("/" + path.name.rpartition(".cover")[0].rpartition(".")[2] + ".py")
    }
    wanted = {name: text for name, text in theirs["listings"].items() if name in listings}
    assert listings.keys() == wanted.keys()
    assert len(theirs["listings"]) - len(wanted) == 1, "of the program's own files trace saw one"
    assert len(listings) > 3
    assert listings == wanted
    assert summary == without_own(theirs["summary"].splitlines())


def assert_named(interpreter: Interpreter, ours: set[tuple[Named, ...]], theirs: set[tuple[Named, ...]]) -> None:
    """The same functions or calls; where names differ, one alone has the class, as docs/lines.md says."""
    ours, theirs = ({row for row in rows if not any(is_own(one[0]) for one in row)} for rows in (ours, theirs))
    assert set(map(bare, ours)) == set(map(bare, theirs))
    assert ours & theirs
    explained = [
        both
        for both in product(ours, theirs)
        if bare(both[0]) == bare(both[1]) and all(is_explained(interpreter, *one) for one in zip(*both, strict=True))
    ]
    assert ours == {our for our, _ in explained}
    assert theirs == {their for _, their in explained}


def is_explained(interpreter: Interpreter, our: Named, their: Named) -> bool:
    """Whether a function of trace's list may be called as it is in ours."""
    has_class = interpreter.version_info >= QUALIFIED and our[0] != MADE_OF_TEXT
    poorer, richer = (their, our) if has_class else (our, their)
    return poorer == richer or ("." not in poorer[2] and richer[2].endswith("." + poorer[2]))


def bare(row: tuple[Named, ...]) -> tuple[Named, ...]:
    """Functions without their classes."""
    return tuple((file, module, name.rpartition(".")[2]) for file, module, name in row)


def named(row: dict[str, str]) -> Named:
    return row["file"], row["module"], row["name"]


def without_own(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not any(f"{own})" in line for own in OWN_FILES)]
