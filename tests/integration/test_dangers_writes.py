"""A thread in the midst of a write to a full pipe: a stop would cut it short, so that there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachments import attached, detach, record_calls
from execd.attach import process
from execd.errors import AttachTimeout
from footprint import becomes, footprint, system_call

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
WAYS = ("write", "print")
WRITE = "1"
LINES, DIGITS = 60_000, 9
TOO_SHORT_S = 0.3
WAITS_S = 5.0
ATTACHES = 3


def waiting(interpreter: Interpreter, spawn: Spawn, *arguments: str) -> Program:
    """A program whose main thread waits in its write."""
    program = spawn(interpreter, "piping", *arguments)
    assert becomes(lambda: system_call(program.pid) == WRITE, WAITS_S)
    return program


def require_whole(program: Program) -> None:
    """Reads the pipe to its end: all is there, once."""
    with Path(f"/proc/{program.pid}/fd/{program.ready_text}").open("rb") as pipe:
        text = b"".join(pipe.readline() for _ in range(LINES))
    assert text == b"".join(b"%0*d\n" % (DIGITS, line) for line in range(LINES))
    assert program.wait() == 0
    assert program.stderr() == ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_thread_that_writes_is_waited_for_with_its_place_told_and_nothing_is_lost(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str
) -> None:
    program = waiting(interpreter, spawn, way)
    before = footprint(program.pid)
    for _ in range(ATTACHES):
        with pytest.raises(AttachTimeout, match="a write that waits for its reader") as caught:
            attacher.attach(process.target_key(program.pid), TOO_SHORT_S, lambda: False)
    assert caught.value.remedy == "try again when it is written"
    assert footprint(program.pid) == before
    require_whole(program)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_beside_a_thread_that_writes_another_one_is_lent(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, way: str
) -> None:
    program = waiting(interpreter, spawn, way, "beside")
    for _ in range(ATTACHES):
        with attached(attacher, program.pid) as link:
            assert link.method == "borrowed thread"
            record_calls(link)
            detach(link)
    assert system_call(program.pid) == WRITE
    require_whole(program)
