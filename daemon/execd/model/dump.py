"""A dump: where all threads of a process are at one instant, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execd.model.target import Target


@dataclass(frozen=True, slots=True)
class StackFrame:
    """A frame.

    Attributes:
        function: its qualified name; up to 3.10 its name. What is no function stands in parentheses.
        file: as the process names it, "" of what is no function.
        line: from 1, 0 where it is not known.
    """

    function: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread, in one interpreter.

    Attributes:
        native_id: the kernel's number, in the PID namespace of the process.
        thread_id: threading.get_ident() of it, 0 where it is not known.
        name: "" where it is not known.
        interpreter: id of the interpreter that it was found in, 0 of the main one.
        state: one of the words that samples have, "" where it could not be read.
        system_call: the one that it waits in, "" for none.
        frames: innermost first.
        is_settled: they were all seen together; else what moved stands as one frame "(unsettled)".
    """

    native_id: int
    thread_id: int
    name: str
    interpreter: int
    state: str
    system_call: str
    frames: tuple[StackFrame, ...]
    is_settled: bool


@dataclass(frozen=True, slots=True)
class AwaitingTask:
    """A task of an event loop.

    Attributes:
        address: where it lies: what tells it from others.
        name: as asyncio has it.
        thread: the kernel's number of its loop's thread, 0 where that has ended.
        is_running: it is the one that its loop runs now.
        frames: of its coroutine and those that this one awaits, innermost first.
        awaited_by: the tasks that await it, by address.
    """

    address: int
    name: str
    thread: int
    is_running: bool
    frames: tuple[StackFrame, ...]
    awaited_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dump:
    """All threads of a process.

    Attributes:
        target: the process, with its version.
        taken_at: seconds since the epoch.
        threads: by the kernel's number.
        stopped: how many of them were stopped for an instant to be read.
        notes: what to know about it, one sentence each.
        tasks: of all event loops, where they were asked for.
    """

    target: Target
    taken_at: float
    threads: tuple[ThreadStack, ...]
    stopped: int
    notes: tuple[str, ...]
    tasks: tuple[AwaitingTask, ...] = ()
