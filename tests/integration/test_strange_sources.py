"""Sources that are written strangely, are not there any more or are others by now: right listings or a clear word."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from judged import WORK_TIMEOUT_S, problems, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

PLAIN = b"def work():\n    kept = 1\n    return kept\n"
STRANGE = {
    "bom": b"\xef\xbb\xbfdef work():\n    text = '\xc3\xa9'\n    return text\n",
    "crlf": b"def work():\r\n    for one in range(3):\r\n        kept = one\r\n    return kept\r\n",
    "ended": b"def work():\n    kept = 1\n    return kept",
    "feeds": b"import os\n\x0c\ndef work():\n    kept = os.sep\n\x0c    return kept\n\x0c\n\x0c\n",
    "latin": b"# -*- coding: latin-1 -*-\ndef work():\n    text = '\xe9\xff'\n    return text\n",
    "separators": b"def work():\n    text = '\x1c\x1d\x1e \xc2\x85 \xe2\x80\xa8 \x0b'\n    return text\n",
    "tabs": b"def work():\n\tfor one in range(3):\n\t\tkept = one\t# a tab\n\treturn kept\n",
}
# What becomes of a source after it was loaded, and the word that says so.
LATER = {
    "changed": (b"\n\n\n\n\ndef other():\n    pass\n", "is not the text of the code that runs"),
    "gone": (None, "could not be read"),
    "undecodable": (b"\n\n\nkept = '\xff\xfe'\n", "cannot be decoded"),
}
LINES_OF_A_LARGE_FILE = 100_000
FORMATS = {"report": ("cover",), "export": ("lcov", "coverage")}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder in the root of the interpreter."""
    interpreter: Interpreter = request.getfixturevalue(request.param)
    made = Path(interpreter.root or "/") / str(tmp_path).lstrip("/") / "strange"
    made.mkdir(parents=True)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("folder", ["local_interpreter"], indirect=True)
def test_listings_of_strange_sources_are_those_of_trace(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path, folder: Path
) -> None:
    assert_listings(daemon, local_interpreter, spawn, tmp_path, folder)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("folder", ["interpreter"], indirect=True)
def test_listings_of_strange_and_large_sources_are_those_of_trace_of_each_version(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, tmp_path: Path, folder: Path
) -> None:
    filler = b"    kept += 1\n" * 99
    functions = b"".join(b"def work_%d(kept):\n%s" % (number, filler) for number in range(LINES_OF_A_LARGE_FILE // 100))
    (folder / "large.py").write_bytes(functions + b"def work():\n    return work_7(0)\n")
    assert_listings(daemon, interpreter, spawn, tmp_path, folder)


def assert_listings(daemon: Daemon, interpreter: Interpreter, spawn: Spawn, tmp_path: Path, folder: Path) -> None:
    """Each listing is the same to the byte, and the summary to the letter."""
    for name, text in STRANGE.items():
        (folder / f"{name}.py").write_bytes(text)
    program = spawn(interpreter, "strange", interpreter.inside(folder))
    (session,) = recorded(daemon, program, "lines")
    theirs = program.ask_json("trace", WORK_TIMEOUT_S)
    options = ("-C", str(tmp_path / "listings"), "--flat", "--missing", "--summary")
    summary = daemon.execctl("report", session, *options)
    for name in sorted(path.stem for path in folder.glob("*.py")):
        listing = (tmp_path / "listings" / f"{name}.cover").read_bytes()
        assert listing.decode("latin-1") == theirs["listings"][f"{name}.cover"], name
        assert line_of(summary, name) == line_of(theirs["summary"], name)


def line_of(summary: str, module: str) -> str:
    """The line of a module."""
    (line,) = [line for line in summary.splitlines() if line.endswith(f"/{module}.py)")]
    return line


@pytest.mark.parametrize("folder", ["local_interpreter"], indirect=True)
def test_a_source_that_is_not_there_or_another_is_told_and_its_counts_are_kept(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, folder: Path
) -> None:
    for name in LATER:
        (folder / f"{name}.py").write_bytes(PLAIN)
    program = spawn(local_interpreter, "strange", str(folder))
    for name, (text, _) in LATER.items():
        path = folder / f"{name}.py"
        path.unlink() if text is None else path.write_bytes(text)
    daemon.execctl("attach", str(program.pid), "--count")
    program.ask("work")
    session = daemon.latest_session()
    found = problems(daemon, session)
    hits = {Path(file["path"]).stem: file["hits"] for file in daemon.report(session)["files"]}
    for name, (_, word) in LATER.items():
        assert word in found[str(folder / f"{name}.py")]
        assert hits[name] == [[2, 1], [3, 1]]
    for command, formats in FORMATS.items():
        for name in formats:
            daemon.execctl(command, session, "--format", name, "-o", str(folder / name))
            assert (folder / name).stat().st_size
    daemon.detach(program.pid)
    assert program.stderr() == ""
