"""Where the threads of a process are, at one instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from execctl.api.process import Process


@dataclass(frozen=True, slots=True)
class StackFrame:
    """A frame.

    Attributes:
        function: its qualified name, up to 3.10 its name; what is no function stands in parentheses: "(unsettled)" for
            frames that moved while they were read, "(frames left out)" for those beyond the innermost 1,024,
            "(unreadable)" for one whose code was gone.
        filename: as the process names it, "" of what is no function.
        lineno: from 1; 0 where it is not known.
    """

    function: str
    filename: str
    lineno: int


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread; one that is within several interpreters is there once for each in which it has frames.

    Attributes:
        native_id: the kernel's number, in the PID namespace of the process: threading.get_native_id() of it.
        thread_id: threading.get_ident() of it; 0 where it is not known.
        name: what the threading module calls it, else the kernel; "" where neither has a name for it.
        interpreter: the interpreter that its name was found in, 0 for the main one.
        state: "running_with_gil", "running_without", "waiting_with_gil", "waiting_for_gil" or "waiting"; "" where it
            could not be read.
        system_call: the one that it waits in, "" for none.
        frames: innermost first; none of a thread that runs no Python.
        is_settled: they were all there together. Else it moved while it was read, each time.
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
        id: what tells it from the others, id() of it.
        name: as asyncio has it.
        native_id: the kernel's number of its loop's thread; 0 where that has ended.
        is_running: it is the one that its loop runs now.
        frames: of its coroutine and those that this one awaits, innermost first.
        awaited_by: the ids of the tasks that await it, also by way of futures.
    """

    id: int
    name: str
    native_id: int
    is_running: bool
    frames: tuple[StackFrame, ...]
    awaited_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dump:
    """What `Client.dump` returns.

    Attributes:
        process: the process.
        taken_at: seconds since the epoch.
        threads: by the kernel's number.
        stopped: how often a thread was stopped for an instant to be read.
        notes: what to know about it, one sentence each.
        tasks: of its event loops, where they were asked for.
    """

    process: Process
    taken_at: float
    threads: tuple[ThreadStack, ...]
    stopped: int
    notes: tuple[str, ...]
    tasks: tuple[AwaitingTask, ...]
