"""A dump as a message: each function once, the frames as indexes of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from execd_api.v1 import targets_pb2 as pb

from execd.rpc import convert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.dump import AwaitingTask, Dump, StackFrame, ThreadStack

STATES = MappingProxyType(
    {
        "": pb.THREAD_STATE_UNSPECIFIED,
        "running_with_gil": pb.THREAD_STATE_RUNNING_WITH_GIL,
        "running_without": pb.THREAD_STATE_RUNNING_WITHOUT,
        "waiting_with_gil": pb.THREAD_STATE_WAITING_WITH_GIL,
        "waiting_for_gil": pb.THREAD_STATE_WAITING_FOR_GIL,
        "waiting": pb.THREAD_STATE_WAITING,
    }
)


def answer(dump: Dump) -> pb.DumpResponse:
    """Return the message of a dump."""
    functions: dict[tuple[str, str], int] = {}
    threads = [_thread(one, functions) for one in dump.threads]
    tasks = [_task(one, functions) for one in dump.tasks]
    return pb.DumpResponse(
        target=convert.target(dump.target),
        taken_at=dump.taken_at,
        threads=threads,
        functions=(pb.DumpedFunction(name=convert.text(name), file=convert.text(file)) for name, file in functions),
        stopped=dump.stopped,
        notes=convert.texts(dump.notes),
        tasks=tasks,
    )


def _thread(thread: ThreadStack, functions: dict[tuple[str, str], int]) -> pb.DumpedThread:
    return pb.DumpedThread(
        native_id=thread.native_id,
        thread_id=thread.thread_id,
        name=convert.text(thread.name),
        interpreter=thread.interpreter,
        state=STATES[thread.state],
        system_call=thread.system_call,
        stack=_stack(thread.frames, functions),
        unsettled=not thread.is_settled,
    )


def _task(task: AwaitingTask, functions: dict[tuple[str, str], int]) -> pb.DumpedTask:
    return pb.DumpedTask(
        id=task.address,
        name=convert.text(task.name),
        native_id=task.thread,
        running=task.is_running,
        stack=_stack(task.frames, functions),
        awaited_by=task.awaited_by,
    )


def _stack(frames: Iterable[StackFrame], functions: dict[tuple[str, str], int]) -> pb.DumpedStack:
    stack = pb.DumpedStack()
    for frame in frames:
        stack.functions.append(functions.setdefault((frame.function, frame.file), len(functions)))
        stack.lines.append(frame.line)
    return stack
