"""Garbage that is collected within the interpreter's own calls of our functions: they are there still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attachments import attached, detach, record_calls
from footprint import becomes

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

ATTACHES = 8
SOAK_ATTACHES = 200
GOES_ON_S = 5.0


def test_a_finalizer_that_runs_before_a_hook_is_called_finds_the_hook_after_a_detach(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    attach_while_collecting(interpreter, spawn, attacher, ATTACHES)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_finalizers_find_the_hook_each_time(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    attach_while_collecting(interpreter, spawn, attacher, SOAK_ATTACHES)


def attach_while_collecting(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, attaches: int) -> None:
    """Attaches, records and leaves; what was in a slot may be about to be called (call_trampoline in sysmodule.c)."""
    program = spawn(interpreter, "collecting")
    for _ in range(attaches):
        with attached(attacher, program.pid) as link:
            record_calls(link)
            detach(link)
        done = program.ask_json("work")
        assert becomes(lambda done=done: program.ask_json("work") > done, GOES_ON_S)
    assert program.alive()
    assert program.stderr() == ""
