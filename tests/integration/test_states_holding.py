"""C code that holds the GIL: an attach waits for its end, says where the target is, and is given up without a trace."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from attachments import ATTACH_TIMEOUT_S, attach, detach
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.attach.place import where
from execd.attach.ptrace import Ptrace
from execd.attach.stopped import StopClock, Stopper
from execd.errors import AttachTimeout
from footprint import becomes, footprint, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from execd.attach.interpreter import Interpreter as Found
    from interpreters import Interpreter
    from programs import Program

QUEUED_S = 5.0
TIME_LIMIT_S = 1.0
# The helper is asked to stop, and takes back what it has queued.
OVERTIME_S = 1.0
# A tenth of a second is promised; the machine may be busy with others.
DONE_S = 0.3
LOOKS = 30


def find(pid: int) -> Found:
    return Finder().find(pid, process.mappings(pid))


def watched_bytes(found: Found) -> bytes:
    """The ring of pending calls, every eval_breaker, and the debugger's fields."""
    memory, layout = found.memory, found.layout
    places = []
    if layout.pending is not None:
        places.append((found.main + layout.pending.lock, layout.pending.last + 4 - layout.pending.lock))
    states = [state.address for state in found.thread_states()]
    if not layout.eval_breaker_is_per_thread:
        places.append((found.main + layout.eval_breaker, 4))
    else:
        places += [(state + layout.eval_breaker, 8) for state in states]
    if layout.debugger is not None:
        places += [(state + layout.debugger.pending_call, 4) for state in states]
        places += [(state + layout.debugger.script_path, layout.debugger.script_path_size) for state in states]
    return b"".join(memory.read(*place) for place in places)


def blocked(spawn: Spawn, interpreter: Interpreter) -> Program:
    """A program whose only thread holds the GIL in a read."""
    program = spawn(interpreter, "holding")
    assert program.ask("block") == "holding"
    assert becomes(lambda: where(program.pid).system_call == "read", QUEUED_S)
    return program


def require_given_up_without_a_trace(
    attacher: Attacher, program: Program, timeout_s: float, wants_up: Callable[[bool], bool]
) -> None:
    """Attaches in vain.

    Args:
        attacher: whose helper attaches.
        program: holds the GIL.
        timeout_s: how long the attach may wait.
        wants_up: told whether the attach is queued, says whether the operator gives up.
    """
    found = find(program.pid)
    outside, inside = footprint(program.pid), watched_bytes(found)
    seen = {inside}

    def cancelled() -> bool:
        seen.add(watched_bytes(found))
        return wants_up(len(seen) > 1)

    began = time.monotonic()
    with pytest.raises(AttachTimeout) as caught:
        attacher.attach(process.target_key(program.pid), timeout_s, cancelled)
    assert time.monotonic() - began < timeout_s + OVERTIME_S
    assert watched_bytes(found) == inside
    # It was queued meanwhile: otherwise there was nothing to take back.
    assert len(seen) > 1
    assert "main thread is in system call read, holding the GIL" in caught.value.message
    program.tell("")
    assert program.read_line() == "1"
    assert settled(program.pid, outside) == outside
    assert program.stderr() == ""


def test_an_attach_that_the_operator_gives_up_leaves_every_byte_as_it_was(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = blocked(spawn, interpreter)
    require_given_up_without_a_trace(attacher, program, ATTACH_TIMEOUT_S, lambda queued: queued)


@pytest.mark.parametrize("interpreter", ["3.9", "3.12", "3.15"], indirect=True)
def test_an_attach_whose_time_is_over_leaves_every_byte_as_it_was(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = blocked(spawn, interpreter)
    require_given_up_without_a_trace(attacher, program, TIME_LIMIT_S, lambda _queued: False)


def test_an_attach_is_done_soon_after_the_gil_is_free(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = blocked(spawn, interpreter)
    found = find(program.pid)
    outside, inside = footprint(program.pid), watched_bytes(found)
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(attach, attacher, program.pid)
        assert becomes(lambda: watched_bytes(found) != inside, QUEUED_S)
        program.tell("")
        began = time.monotonic()
        link = waiting.result(ATTACH_TIMEOUT_S)
    took_s = time.monotonic() - began
    assert program.read_line() == "1"
    detach(link)
    link.close()
    assert took_s < DONE_S
    assert settled(program.pid, outside) == outside


def test_the_place_of_running_code_is_named(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "busy")
    found = find(program.pid)
    stopper = Stopper(program.pid, Ptrace(), StopClock(), process.mappings(program.pid))
    places = [where(program.pid, found, stopper) for _ in range(LOOKS)]
    running = [place for place in places if place.holds_gil and not place.system_call]
    assert running
    assert {place.tid for place in running} == {program.pid}
    assert any("python" in place.library for place in running)
    # Of a stripped interpreter most functions have no name.
    assert interpreter.root or any("Eval" in place.function for place in running)
    assert process.status(program.pid).tracer_pid == 0


def test_the_thread_that_holds_the_gil_is_named(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "working", "hold-in-worker")
    assert program.ask_json("begin")
    found = find(program.pid)
    (worker,) = (int(name) for name in os.listdir(f"/proc/{program.pid}/task") if int(name) != program.pid)  # noqa: PTH208 -- names
    assert becomes(lambda: (place := where(program.pid, found)).tid == worker and place.holds_gil, QUEUED_S)
