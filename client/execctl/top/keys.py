"""What each key does: from what is shown, and the key, to what is shown next."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from execctl.top.model import Display, Sort, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENTER, ESCAPE, BACKSPACE, ERASE = "enter", "escape", "backspace", "erase"
UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"

# Longer than any name that is worth typing.
_LONGEST: Final = 200

HELP: Final = (
    ("q", "quit"),
    ("space", "pause, and go on"),
    ("s  S  n", "sort by self, by total, by name"),
    ("g", "a row is a function, or a line"),
    ("v", "what counts: on a processor, wall time, holding the GIL"),
    ("c", "the last seconds, or all since the start"),
    ("r", "begin anew"),
    ("t", "with or without the threads"),
    ("/", "show what has this text, or fits this regular expression"),
    ("esc", "show all again"),
    ("arrows, j k", "scroll; also PgUp, PgDn, Home, End"),
    ("?", "this help, and back"),
)
# In the order of their worth, for a line that is too short for all.
HINTS: Final = (
    "q quit",
    "? help",
    "space pause",
    "/ filter",
    "v view",
    "s S n sort",
    "g lines",
    "c all",
    "t threads",
    "r reset",
)


class Action(Enum):
    """What a key does beside changing what is shown."""

    NONE = "none"
    QUIT = "quit"
    RESET = "reset"


def pressed(display: Display, key: str, rows: int, page: int) -> tuple[Display, Action]:
    """Return what is shown after a key, and what else it does.

    Args:
        display: what is shown.
        key: a character, or one of the names above.
        rows: of the table.
        page: how many of them the screen holds.
    """
    if display.typed is not None:
        return _typed(display, display.typed, key), Action.NONE
    if key in ("q", "Q"):
        return display, Action.QUIT
    if display.has_help:
        return replace(display, has_help=False), Action.NONE
    if key == "r":
        return replace(display, first=0), Action.RESET
    if key in _MOVES:
        first = _MOVES[key](display.first, page, rows)
        return replace(display, first=max(min(first, rows - page), 0)), Action.NONE
    change = _CHANGES.get(key)
    return (change(display) if change else display), Action.NONE


def _typed(display: Display, typed: str, key: str) -> Display:
    match key:
        case "enter":
            return replace(display, pattern=typed, typed=None)
        case "escape":
            return replace(display, typed=None)
        case "backspace":
            return replace(display, typed=typed[:-1], first=0)
        case "erase":
            return replace(display, typed="", first=0)
    if len(key) == 1 and key.isprintable():
        return replace(display, typed=(typed + key)[:_LONGEST], first=0)
    return display


def _next_view(display: Display) -> Display:
    views = list(View)
    return replace(display, view=views[(views.index(display.view) + 1) % len(views)], first=0)


_MOVES: Final[Mapping[str, Callable[[int, int, int], int]]] = {
    UP: lambda first, _page, _rows: first - 1,
    "k": lambda first, _page, _rows: first - 1,
    DOWN: lambda first, _page, _rows: first + 1,
    "j": lambda first, _page, _rows: first + 1,
    PAGE_UP: lambda first, page, _rows: first - page,
    PAGE_DOWN: lambda first, page, _rows: first + page,
    HOME: lambda _first, _page, _rows: 0,
    END: lambda _first, page, rows: rows - page,
}
_CHANGES: Final[Mapping[str, Callable[[Display], Display]]] = {
    " ": lambda now: replace(now, is_paused=not now.is_paused),
    "s": lambda now: replace(now, sort=Sort.SELF, first=0),
    "S": lambda now: replace(now, sort=Sort.TOTAL, first=0),
    "n": lambda now: replace(now, sort=Sort.NAME, first=0),
    "g": lambda now: replace(now, by_line=not now.by_line, first=0),
    "v": _next_view,
    "c": lambda now: replace(now, is_whole=not now.is_whole, first=0),
    "t": lambda now: replace(now, has_threads=not now.has_threads),
    "/": lambda now: replace(now, typed=now.pattern),
    ESCAPE: lambda now: replace(now, pattern="", first=0),
    "?": lambda now: replace(now, has_help=True),
    "h": lambda now: replace(now, has_help=True),
}
