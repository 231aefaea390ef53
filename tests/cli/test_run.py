"""`execctl run` as far as it needs no daemon: whose words are whose, and what is refused before anything is started."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from execctl import pythonline
from execctl.errors import ClientError
from execctl.exits import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run

STARTS = (
    "prog.py",
    "prog.py -I -E",
    "-",
    "-m module -S",
    "-mmodule",
    "-c code",
    "-Bc code",
    "-W error -X dev prog.py",
    "-Werror::EIS -Xdev prog.py",
    "-OO -u -P prog.py",
    "--check-hash-based-pycs never prog.py",
)
STARTS_NOTHING = ("", "-O", "-W", "-W error", "-m", "-Xdev", "--check-hash-based-pycs never")
KEEP_US_OUT = ("-I prog.py", "-E -m module", "-uS -c code", "-W error -BI prog.py")


@pytest.mark.parametrize("words", STARTS)
def test_a_line_that_starts_a_program_is_let_through(words: str) -> None:
    pythonline.check_words(words.split())


@pytest.mark.parametrize(
    ("words", "file"),
    [("prog.py -m x", "prog.py"), ("-W error -X dev prog.py", "prog.py"), ("-m module", ""), ("-", ""), ("-c x", "")],
)
def test_the_file_that_is_run_is_known(words: str, file: str) -> None:
    assert pythonline.check_words(words.split()) == file


def test_what_python_cannot_run_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "sh")
    assert pythonline.why_refused(missing, 2) == f"there is no file {missing} here"
    assert "machine code" in pythonline.why_refused(sys.executable, 1)
    # A program may remove itself; of a directory with a __main__.py, and of any text, Python tells itself.
    for file, status in ((missing, 1), (missing, -2), (sys.executable, 0), (str(tmp_path), 1), (__file__, 2), ("", 2)):
        assert pythonline.why_refused(file, status) == ""


@pytest.mark.parametrize("words", STARTS_NOTHING)
def test_a_line_without_a_program_is_refused(words: str) -> None:
    with pytest.raises(ClientError) as refused:
        pythonline.check_words(words.split())
    assert refused.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("words", KEEP_US_OUT)
def test_options_that_keep_the_agent_out_are_refused(words: str) -> None:
    with pytest.raises(ClientError) as refused:
        pythonline.check_words(words.split())
    assert refused.value.exit_code == ExitCode.NOT_SUPPORTED
    assert "attach to it" in refused.value.remedy


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ('["pypy", "3.11.9", 0]', "pypy 3.11.9"),
        ('["cpython", "3.8.18", 0]', "cpython 3.8.18"),
        ('["cpython", "3.16.0", 0]', "cpython 3.16.0"),
        ('["cpython", "3.14.0", 1]', "free-threaded CPython 3.14.0"),
        ("hello", "not a Python that starts"),
    ],
)
def test_an_interpreter_that_cannot_be_recorded_is_refused(run: Run, tmp_path: Path, says: str, why: str) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho '{says}'\n", "ascii")
    script.chmod(0o700)
    result = run("run", "--profile", "--python", str(script), "--", "prog.py")
    assert result.exit_code == ExitCode.NOT_SUPPORTED
    assert why in result.stderr


def test_an_interpreter_that_is_not_there_is_told_of(run: Run) -> None:
    result = run("run", "--profile", "--python", "no-such-python", "prog.py")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "there is no interpreter no-such-python" in result.stderr


def test_without_a_mode_the_modes_are_listed(run: Run) -> None:
    result = run("run", "prog.py", "--profile")
    assert result.exit_code == ExitCode.USAGE
    assert "--trackcalls" in result.stderr


def test_an_option_that_is_nobodys_is_not_taken_for_the_programs(run: Run) -> None:
    result = run("run", "--proflie", "prog.py")
    assert result.exit_code == ExitCode.USAGE
    assert "--proflie" in result.stderr


@pytest.mark.parametrize(
    ("before", "after"), [(None, "/proc/self/fd/200"), ("", "/proc/self/fd/200"), ("/a:/b", "/proc/self/fd/200:/a:/b")]
)
def test_the_archive_is_the_first_place_to_look_in(before: str | None, after: str) -> None:
    given = {"A": "1"} if before is None else {"A": "1", "PYTHONPATH": before}
    assert pythonline.with_archive(given, 200) == {"A": "1", "PYTHONPATH": after}
