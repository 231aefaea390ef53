"""What stays: the functions that were in a thread's slot, as `execctl detach` tells, and no text of the attach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attachments import attached, detach, record_calls
from daemons import CALL_TIMEOUT_S
from execd_api.v1 import sessions_pb2
from footprint import becomes, thread_ids

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

ATTACHES = 4
# An agent keeps so many, of several attachments.
MOST_KEPT = 16
COLLECTORS = ("calls", "callers", "functions", "lines", "cover", "memory", "trace")
SNAPSHOTS = 3
# Of some 1,000 and more.
MOST_ENDED_ELSEWHERE = 2


def told(daemon: Daemon, pid: int) -> list[int]:
    """The numbers of functions that a detach says are left, after calls were recorded."""
    daemon.record_calls(pid)
    # Of what is left execctl writes to stderr.
    _, errors = daemon.start_execctl("detach", str(pid)).communicate(timeout=CALL_TIMEOUT_S)
    sentence = "left in it: functions that were in a thread's profile or trace slot: "
    why = " (a thread may have been about to call one)"
    found = [line.removeprefix(sentence).removesuffix(why) for line in errors.splitlines() if line.startswith(sentence)]
    return [int(number) for number in found]


@pytest.mark.parametrize("interpreter", ["3.9", "3.12"], indirect=True)
def test_functions_that_stay_inert_are_told_at_the_detach(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(interpreter, "reading")
    first, second = told(daemon, program.pid), told(daemon, program.pid)
    if interpreter.version_info >= (3, 12):
        assert first == second == []
    else:
        # Those of both, each once.
        assert 0 < first[0] < MOST_KEPT / 2
        assert second == [2 * first[0]]
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", ["3.12", "3.15"], indirect=True)
def test_no_text_stays_interned_from_one_attach_to_the_next(
    attacher: Attacher, interpreter: Interpreter, spawn: Spawn
) -> None:
    """3.12 keeps what it has interned for ever: one text an attach would be a leak."""
    program = spawn(interpreter, "reading")
    found = []
    for _ in range(ATTACHES):
        with attached(attacher, program.pid) as link:
            record_calls(link)
            detach(link)
        # The agent's thread has texts of its own until it has ended.
        assert becomes(lambda: len(thread_ids(program.pid)) == 1, CALL_TIMEOUT_S)
        found.append(program.ask_json("interned"))
    assert found[1] >= found[-1] > 0


def test_no_object_of_a_program_outlives_its_call(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    """A frame that is held in a cycle would keep them until a collection, and this program has none."""
    program = spawn(interpreter, "fleeting")
    for _ in range(2):
        daemon.attach(program.pid, *(sessions_pb2.SessionSpec(collector=one, options_json="{}") for one in COLLECTORS))
        for _ in range(SNAPSHOTS):
            daemon.snapshot(program.pid)
        daemon.detach(program.pid)
    kept, ended_elsewhere = program.ask_json("kept")
    assert kept == 0
    # A frame is looked at for some instructions; a machine with much to do may run its thread to the end meanwhile.
    assert ended_elsewhere <= MOST_ENDED_ELSEWHERE
    assert program.stderr() == ""
