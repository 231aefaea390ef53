"""Programs that start or end while they are attached to: their exit code and their output are as without us."""

from __future__ import annotations

import random
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from attachments import record_calls
from execd.attach import process
from execd.attach.attacher import Attacher
from execd.errors import AgentFailed, AttachTimeout, NotPermitted, NotSupported, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
EXIT_CODES = {"return": 0, "exit": 3, "thread": 0, "abrupt": 4, "slow": 0, "daemons": 0, "waits": 0}
# What may come of an attach to a program that is not there yet, or not for long.
OUTCOMES = (TargetGone, NotPermitted, NotSupported, AttachTimeout, AgentFailed)
# An attach takes some ten milliseconds, an interpreter as long to start and to end.
LONGEST_PAUSE_S = 0.03
ATTACH_S, END_S = 1.0, 10.0
STARTS, SOAK_TRIES = 8, 100
GREETING = "import sys; sys.stdout.write('hello'); sys.stdout.flush(); sys.exit(7)"


def attach_to(attacher: Attacher, program: Program | subprocess.Popen[bytes]) -> None:
    """Attaches and records, or is refused; lets go of what is there then without a detach."""
    with suppress(*OUTCOMES):
        link = attacher.attach(process.target_key(program.pid), ATTACH_S, lambda: False)
        try:
            record_calls(link)
        finally:
            link.close()


def end_while_attaching(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str, tries: int) -> None:
    """Tells a program to end at some moment of an attach."""
    moments = random.Random(way)  # noqa: S311 -- spreads the moments, no secret
    for _ in range(tries):
        program = spawn(interpreter, "ending", way)
        ending = threading.Timer(moments.random() * LONGEST_PAUSE_S, program.tell, ("",))
        ending.start()
        attach_to(attacher, program)
        ending.join()
        if way != "abrupt":
            assert program.read_line() == "bye"
        assert program.wait() == EXIT_CODES[way]
        assert program.stderr() == ""


@pytest.fixture
def attacher() -> Iterator[Attacher]:
    """One of the test's own: what ends while it is held may cost it its helper process, and it starts another one."""
    own = Attacher()
    own.start()
    yield own
    own.close()


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_program_that_ends_while_it_is_attached_to_ends_as_without_us(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    for way in EXIT_CODES:
        end_while_attaching(interpreter, spawn, attacher, way, 2)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", EXIT_CODES)
def test_programs_that_end_at_any_moment_of_an_attach_end_as_without_us(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str
) -> None:
    end_while_attaching(interpreter, spawn, attacher, way, SOAK_TRIES)


def start_while_attaching(interpreter: Interpreter, attacher: Attacher, tries: int) -> None:
    """Attaches to an interpreter a little after it was executed."""
    pauses, waiting = random.Random(tries), threading.Event()  # noqa: S311 -- spreads the moments, no secret
    for _ in range(tries):
        command = [*interpreter.argv, "-I", "-B", "-c", GREETING]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            # Nothing tells of the moments before a program runs: they are met by their number.
            waiting.wait(pauses.random() * LONGEST_PAUSE_S)
            attach_to(attacher, program)
            assert program.communicate(timeout=END_S) == (b"hello", b"")
            assert program.returncode == 7


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_program_that_starts_while_it_is_attached_to_does_what_it_does_without_us(
    interpreter: Interpreter, attacher: Attacher
) -> None:
    start_while_attaching(interpreter, attacher, STARTS)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_programs_that_start_at_any_moment_of_an_attach_do_what_they_do_without_us(
    interpreter: Interpreter, attacher: Attacher
) -> None:
    start_while_attaching(interpreter, attacher, SOAK_TRIES)
