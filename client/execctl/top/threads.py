"""The threads of a process as lines of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execctl.escape import escape
from execctl.threadstates import state_words
from execctl.top.cells import Span, Style, cut, end_of, left, width_of
from execctl.top.model import is_running, where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execctl.api.windows import WindowThread
    from execctl.top.cells import Charset

_GAP: Final = "  "
_STATE: Final = 26
_SHARE: Final = 5
# Below it the place alone is shown beside the name.
_STATE_FROM: Final = 64


def thread_lines(
    threads: Sequence[WindowThread], turns: int, columns: int, most: int, charset: Charset
) -> list[list[Span]]:
    """Return a line for each thread below a head.

    Args:
        threads: those that run most first.
        turns: how often all were looked at.
        columns: of the terminal.
        most: so many lines without the head.
        charset: what the terminal can show.
    """
    name, state, place = _widths(columns)
    shown = threads[:most]
    count = f"thread ({len(threads)})" if len(shown) == len(threads) else f"thread ({len(shown)} of {len(threads)})"
    head = f"{left(count, name)}{_GAP}{'run%':>{_SHARE}}"
    head += f"{_GAP}{left('mostly', state)}" if state else ""
    lines = [[Span(left(f"{head}{_GAP}where", columns), Style.TITLE)]]
    for thread in shown:
        running = is_running(thread, turns)
        said = f"{left(cut(_called(thread), name, charset.mark), name)}{_GAP}{running * 100:{_SHARE}.1f}"
        said += f"{_GAP}{left(cut(_words(thread), state, charset.mark), state)}" if state else ""
        style = Style.PLAIN if running else Style.DIM
        lines.append([Span(f"{said}{_GAP}", style), Span(_place(thread, place, charset), style)])
    return lines


def _words(thread: WindowThread) -> str:
    """Return what a thread was at most: "running with the GIL", "waiting in read"."""
    if not any(thread.states.values()):
        return ""
    state = max(thread.states, key=thread.states.__getitem__)
    # There is no room for both: that all others wait for it says more than its call.
    return state_words(state, thread.system_call if state == "waiting" else "")


def _called(thread: WindowThread) -> str:
    return escape(thread.name) or f"thread {thread.native_id}"


def _place(thread: WindowThread, width: int, charset: Charset) -> str:
    """Return the function and, where there is room, the file's name and the line."""
    function, file = escape(thread.place.name), where(thread.place).rpartition("/")[2]
    room = width - width_of(file) - 1
    if not file or room < min(width_of(function), width // 2):
        return end_of(function, width, charset.mark)
    return f"{end_of(function, room, charset.mark)} {file}"


def _widths(columns: int) -> tuple[int, int, int]:
    """Return the columns of the name, of the state and of the place."""
    state = _STATE if columns >= _STATE_FROM else 0
    room = max(columns - _SHARE - 2 * len(_GAP) - (state + len(_GAP) if state else 0), 0)
    name = min(room * 2 // 5, 32)
    return name, state, room - name
