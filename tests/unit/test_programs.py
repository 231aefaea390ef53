"""How target programs are started and spoken to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs import PERMIT_TRACING, Program, ProgramError

if TYPE_CHECKING:
    from conftest import Spawn
    from interpreters import Interpreter


def start(interpreter: Interpreter, code: str, folder: Path) -> Program:
    """A program that is one line of code."""
    return Program(interpreter, [*interpreter.argv, "-I", "-c", code], folder / "stderr", os.environ)


def test_a_program_knows_its_own_pid(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "reading")
    assert program.ask_json("state")["pid"] == program.pid


def test_a_program_gets_the_variables_of_its_test(local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "reading", env={"EXECD_TEST_VARIABLE": "1"})
    environment = Path(f"/proc/{program.pid}/environ").read_bytes()
    assert b"EXECD_TEST_VARIABLE=1" in environment.split(b"\0")


def test_a_program_that_is_silent_is_an_error(local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "reading")
    with pytest.raises(ProgramError, match="said nothing in time"):
        program.read_line(timeout_s=0.05)


def test_a_program_that_ends_is_an_error_that_shows_its_stderr(local_interpreter: Interpreter, tmp_path: Path) -> None:
    with start(local_interpreter, "raise SystemExit('cause')", tmp_path) as program:
        with pytest.raises(ProgramError, match="cause"):
            program.wait_until_ready()
        assert program.wait() == 1


def test_a_program_that_does_not_begin_with_ready_is_an_error(local_interpreter: Interpreter, tmp_path: Path) -> None:
    with (
        start(local_interpreter, "print('hello')", tmp_path) as program,
        pytest.raises(ProgramError, match="began with 'hello'"),
    ):
        program.wait_until_ready()


def test_a_command_that_may_be_traced_keeps_its_pid_and_its_arguments() -> None:
    code = "import os, sys; print(os.getpid(), *sys.argv[1:])"
    command = [sys.executable, "-I", str(PERMIT_TRACING), sys.executable, "-c", code, "a b", "--c"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        answer, _ = process.communicate()
    assert answer == f"{process.pid} a b --c\n"
