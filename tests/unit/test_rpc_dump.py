"""A dump as a message, and back."""

from __future__ import annotations

from execctl import convert
from execctl.api import dump as api
from execd.model.dump import AwaitingTask, Dump, StackFrame, ThreadStack
from execd.model.target import Target, TargetKey
from execd.rpc.dump import STATES, answer
from execd.sampling import samples

TARGET = Target(TargetKey("b", 4711, 99), 1000, ("python", "\udcff"), "/usr/bin/python3", "3.11.7")
FRAMES = (StackFrame("leaf", "/srv/a.py", 3), StackFrame("main", "/srv/a.py", 9), StackFrame("leaf", "/srv/a.py", 4))


def test_a_dump_comes_to_the_client_as_it_was_taken() -> None:
    threads = (
        ThreadStack(4711, 1 << 47, "main", 0, "running_with_gil", "", FRAMES, is_settled=True),
        ThreadStack(4712, 0, "lone \ud800", 3, "waiting", "read", FRAMES[:1], is_settled=False),
        ThreadStack(4713, 7, "", 0, "", "", (), is_settled=False),
    )
    tasks = (AwaitingTask(1 << 47, "task", 4711, is_running=True, frames=FRAMES[1:], awaited_by=(5, 6)),)
    message = answer(Dump(TARGET, 1_700_000_000.5, threads, 2, ("a note",), tasks))
    # Each function once.
    assert [(one.name, one.file) for one in message.functions] == [("leaf", "/srv/a.py"), ("main", "/srv/a.py")]
    value = convert.dump(message)
    frames = tuple(api.StackFrame(one.function, one.file, one.line) for one in FRAMES)
    assert value.threads == (
        api.ThreadStack(4711, 1 << 47, "main", 0, "running_with_gil", "", frames, is_settled=True),
        api.ThreadStack(4712, 0, "lone \\ud800", 3, "waiting", "read", frames[:1], is_settled=False),
        api.ThreadStack(4713, 7, "", 0, "", "", (), is_settled=False),
    )
    assert value.tasks == (
        api.AwaitingTask(1 << 47, "task", 4711, is_running=True, frames=frames[1:], awaited_by=(5, 6)),
    )
    assert (value.process.pid, value.taken_at, value.stopped, value.notes) == (4711, 1_700_000_000.5, 2, ("a note",))


def test_every_state_of_a_sample_has_one_in_the_contract() -> None:
    assert set(STATES) == {"", *samples.STATES}
    assert [convert.THREAD_STATES[number] for number in STATES.values()] == list(STATES)
