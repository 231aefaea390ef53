"""Exports of a program of pyperformance that was recorded while it ran: coverage.py, genhtml and xmllint take them.

coverage.py measures the same work in the same process. What a statement is it finds in the source itself, so its totals
of our data must be those of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from judged import OWN_FILES, WORK_TIMEOUT_S, packages, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

PROGRAM = "nqueens"
COLLECTORS = ("cover", "lines")
OMITTED = "--omit=" + ",".join(f"*{own}" for own in OWN_FILES)
TOOL_TIMEOUT_S = 60
DTD = Path(__file__).parents[1] / "cobertura-04.dtd"


class CoveragePy:
    """coverage.py of an interpreter's version, with a folder for its data files, which is removed.

    Attributes:
        folder: with the file `theirs`, of what it has measured itself.
    """

    def __init__(self, interpreter: Interpreter, folder: Path) -> None:
        self.folder = folder
        self._interpreter = interpreter
        self._environment = {**os.environ, "PYTHONPATH": packages(interpreter, "coverage")}

    def run(self, command: str, name: str, *arguments: str) -> str:
        """What a command prints of a data file."""
        path = self._interpreter.inside(self.folder / name)
        words = [*self._interpreter.argv, "-B", "-m", "coverage", command, f"--data-file={path}", *arguments]
        return ran(words, self._environment)

    def output(self, name: str) -> tuple[Path, str]:
        """Where a command writes to: for us, and for the interpreter."""
        return self.folder / name, self._interpreter.inside(self.folder / name)

    def found(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The totals of a data file, and of each of its files statements and missing lines."""
        path, inside = self.output(f"{name}.json")
        self.run("json", name, OMITTED, "-o", inside)
        report = json.loads(path.read_text())
        files = {one: (row["summary"]["num_statements"], row["missing_lines"]) for one, row in report["files"].items()}
        return report["totals"], files


@pytest.fixture
def measured(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> Iterator[CoveragePy]:
    """The work of a program in files of coverage.py: `theirs`, and `lines` and `cover` of ours."""
    program = spawn(interpreter, "benchmarked", packages(interpreter, "pyperformance", "coverage"), PROGRAM)
    sessions = recorded(daemon, program, *COLLECTORS)
    theirs = program.ask_json("coverage", WORK_TIMEOUT_S)
    folder = Path(interpreter.root or "/") / str(theirs).rpartition("/")[0].lstrip("/")
    for name, session in zip(COLLECTORS, sessions, strict=True):
        daemon.execctl("export", session, "--format", "coverage", "-o", str(folder / name))
    yield CoveragePy(interpreter, folder)
    shutil.rmtree(folder)


def ran(words: list[str], environment: dict[str, str] | None = None) -> str:
    """What a tool prints that succeeds."""
    done = subprocess.run(
        words,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_coverage_py_of_each_version_takes_what_was_recorded(measured: CoveragePy) -> None:
    for name in COLLECTORS:
        assert_totals(measured, name)
        assert_taken(measured, name)


def assert_totals(measured: CoveragePy, name: str) -> None:
    """Holds the totals, and each file's statements and missing lines, against coverage.py's own."""
    totals, files = measured.found(name)
    assert len(files) > 3
    assert (totals, files) == measured.found("theirs")
    assert 0 < totals["missing_lines"] < totals["num_statements"]


def assert_taken(measured: CoveragePy, name: str) -> None:
    """Fails where a report of coverage.py does not take a file of ours, or does not combine it with its own."""
    totals, files = measured.found(name)
    assert "run_benchmark.py" in measured.run("report", name, OMITTED)
    pages, inside = measured.output(f"{name}.html")
    measured.run("html", name, OMITTED, "-d", inside)
    assert len(list(pages.glob("*_py.html"))) == len(files)
    document, inside = measured.output(f"{name}.xml")
    measured.run("xml", name, OMITTED, "-o", inside)
    root = ET.parse(document).getroot()  # noqa: S314 - coverage.py's
    assert int(root.attrib["lines-valid"]) == totals["num_statements"]
    assert int(root.attrib["lines-covered"]) == totals["covered_lines"]
    parts = [measured.output(one)[1] for one in (name, "theirs")]
    measured.run("combine", f"{name}.both", "--keep", *parts)
    assert measured.found(f"{name}.both") == (totals, files)


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("genhtml") or not shutil.which("xmllint"), reason="no genhtml or no xmllint here")
@pytest.mark.parametrize("collector", COLLECTORS)
def test_genhtml_and_xmllint_take_what_was_recorded(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path, collector: str
) -> None:
    program = spawn(local_interpreter, "benchmarked", packages(local_interpreter, "pyperformance"), PROGRAM)
    (session,) = recorded(daemon, program, collector)
    files = daemon.report(session)["files"]
    tracefile, document = (str(tmp_path / name) for name in ("lcov.info", "cobertura.xml"))
    daemon.execctl("export", session, "--format", "lcov", "-o", tracefile)
    daemon.execctl("export", session, "--format", "cobertura", "-o", document)
    printed = ran(["genhtml", tracefile, "-o", str(tmp_path / "pages")])
    ran_lines, lines = (sum(file[name] for file in files) for name in ("hit", "lines"))
    assert f"({ran_lines} of {lines} lines)" in printed
    assert len(list((tmp_path / "pages").rglob("*.py.gcov.html"))) == len(files)
    ran(["xmllint", "--noout", "--nonet", "--dtdvalid", str(DTD), document])
