"""A dump as it is shown: text that people read, and the record of --json."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from execctl.escape import escape
from execctl.threadstates import state_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from execctl.api.dump import AwaitingTask, Dump, StackFrame, ThreadStack
    from execctl.query import Layout

_INDENT = "    "
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
# A path that is cut shorter tells nothing.
_LEAST_PATH = 12


def dump_text(dump: Dump, layout: Layout) -> str:
    """Return a dump as lines of text, in which nothing that came from the process is left to be made harmless.

    Args:
        dump: all threads and tasks.
        layout: the width that lines are made to fit, 0 for any; whether there are colours.
    """
    layout = replace(layout, width=0) if layout.is_wide else layout
    lines = [*_head(dump, layout), *_threads(dump.threads, layout)]
    if dump.tasks:
        lines += _tasks(dump.tasks, layout)
    return "".join(f"{line}\n" for line in lines)


def dump_record(dump: Dump) -> dict[str, object]:
    """Return a dump as `dump --json` shows it."""
    process = dump.process
    return {
        "pid": process.pid,
        "command_line": list(process.command_line),
        "python_version": process.python_version,
        "taken_at": dump.taken_at,
        "stopped": dump.stopped,
        "notes": list(dump.notes),
        "threads": [_thread_record(thread) for thread in dump.threads],
        "tasks": [_task_record(task) for task in dump.tasks],
    }


def _thread_record(thread: ThreadStack) -> dict[str, object]:
    names = ("native_id", "thread_id", "name", "interpreter", "state", "system_call")
    record: dict[str, object] = {name: getattr(thread, name) for name in names}
    return {**record, "settled": thread.is_settled, "frames": _frame_records(thread.frames)}


def _task_record(task: AwaitingTask) -> dict[str, object]:
    record: dict[str, object] = {name: getattr(task, name) for name in ("id", "name", "native_id")}
    record |= {"running": task.is_running, "awaited_by": list(task.awaited_by)}
    return {**record, "frames": _frame_records(task.frames)}


def _frame_records(frames: Sequence[StackFrame]) -> list[dict[str, object]]:
    return [{"function": one.function, "file": one.filename, "line": one.lineno} for one in frames]


def _head(dump: Dump, layout: Layout) -> Iterator[str]:
    process, count = dump.process, len({thread.native_id for thread in dump.threads})
    yield _fitting(f"process {process.pid}: {escape(shlex.join(process.command_line))}", layout)
    time = datetime.fromtimestamp(dump.taken_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    threads = "1 thread" if count == 1 else f"{count} threads"
    yield _fitting(f"CPython {escape(process.python_version)}, {threads}, {time}", layout)


def _threads(threads: Sequence[ThreadStack], layout: Layout) -> Iterator[str]:
    """Yield the threads; those that are at the same place stand together."""
    alike: defaultdict[tuple[object, ...], list[ThreadStack]] = defaultdict(list)
    for thread in threads:
        alike[thread.frames, thread.state, thread.system_call, thread.is_settled].append(thread)
    for group in alike.values():
        yield ""
        for thread in group:
            words = (
                f"{_called(thread)}: {state_words(thread.state, thread.system_call)}"
                if thread is group[-1]
                else f"{_called(thread)},"
            )
            yield _styled(_fitting(words, layout), _BOLD, layout)
        yield from _frames(group[0].frames, layout)


def _called(thread: ThreadStack) -> str:
    inside = f", interpreter {thread.interpreter}" if thread.interpreter else ""
    ident = f", ident {thread.thread_id}" if thread.thread_id else ""
    return f"{escape(thread.name) or '(no name)'} (thread {thread.native_id}{ident}{inside})"


def _tasks(tasks: Sequence[AwaitingTask], layout: Layout) -> Iterator[str]:
    names = {task.id: escape(task.name) for task in tasks}
    for task in tasks:
        yield ""
        awaiting = [names.get(awaiter, "another task") for awaiter in task.awaited_by]
        said = ["running"] if task.is_running else []
        said += [f"awaited by {', '.join(awaiting)}"] if awaiting else []
        words = f"task {names[task.id]} (thread {task.native_id})" + (f": {', '.join(said)}" if said else "")
        yield _styled(_fitting(words, layout), _BOLD, layout)
        yield from _frames(task.frames, layout)


def _frames(frames: Sequence[StackFrame], layout: Layout) -> Iterator[str]:
    if not frames:
        yield f"{_INDENT}(no frame of Python)"
    for frame in frames:
        yield _frame(frame, layout)


def _frame(frame: StackFrame, layout: Layout) -> str:
    function, place = escape(frame.function), f"{escape(frame.filename)}:{frame.lineno or '?'}"
    if not frame.filename:
        return _fitting(f"{_INDENT}{function}", layout)
    room = layout.width - len(_INDENT) - len(function) - len(" ()") if layout.width else 0
    if layout.width and len(place) > room:
        place = _ending(place, max(room, _LEAST_PATH), layout)
    line = _fitting(f"{_INDENT}{function} ({place})", layout)
    return f"{line[: len(_INDENT + function)]}{_styled(line[len(_INDENT + function) :], _DIM, layout)}"


def _fitting(line: str, layout: Layout) -> str:
    """Return a line that fits the width, cut at its end."""
    if not layout.width or len(line) <= layout.width:
        return line
    return line[: layout.width - len(_mark(layout))] + _mark(layout)


def _ending(text: str, room: int, layout: Layout) -> str:
    """Return the end of a text, as long as there is room for."""
    mark = _mark(layout)
    return text if len(text) <= room else mark + text[-max(room - len(mark), 1) :]


def _mark(layout: Layout) -> str:
    return "..." if layout.is_ascii else "…"


def _styled(text: str, style: str, layout: Layout) -> str:
    return f"{style}{text}{_PLAIN}" if layout.has_color and text else text
