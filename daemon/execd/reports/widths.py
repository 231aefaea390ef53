"""How many columns of a terminal a text takes, and how it is made to take fewer; for texts that are safe to show."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterable


def width_of(text: str) -> int:
    """Return the columns that a text takes: two for wide letters, none for marks above and below others."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def padded(text: str, width: int, *, is_figure: bool = False) -> str:
    """Return the text with blanks up to a width: after it, before it where it is a figure."""
    blanks = " " * (width - width_of(text))
    return blanks + text if is_figure else text + blanks


def cut(text: str, width: int, mark: str) -> str:
    """Return the text, or as much of its start as a width holds with a mark after it."""
    if width_of(text) <= width:
        return text
    return _fitting(text, width - width_of(mark)) + mark


def end_of(text: str, width: int, mark: str) -> str:
    """Return the text, or as much of its end as a width holds with a mark before it."""
    if width_of(text) <= width:
        return text
    return mark + _fitting(reversed(text), width - width_of(mark))[::-1]


def middle_cut(text: str, width: int, mark: str) -> str:
    """Return the text, or as much of its start and end as a width holds with a mark between."""
    if width_of(text) <= width:
        return text
    room = width - width_of(mark)
    end = _fitting(reversed(text), room - room // 2)[::-1]
    return _fitting(text, room - width_of(end)) + mark + end


def wrapped(text: str, width: int, indent: str) -> list[str]:
    """Return the text on lines that a width holds, an indent before all but the first; 0 is no limit."""
    if not width or width_of(text) <= width:
        return [text]
    return wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def short_path(path: str, width: int, mark: str) -> str:
    """Return a path without directories in its middle: its first one, and as many of its last as a width holds."""
    if width_of(path) <= width:
        return path
    *folders, file = path.split("/")
    # An absolute path begins with an empty one.
    first = "/".join([*folders[: 2 if path.startswith("/") else 1], mark, ""])
    room = width - width_of(first)
    if width_of(file) > room:
        alone = f"{mark}/{file}"
        return alone if width_of(alone) <= width else middle_cut(file, width, mark)
    while folders and width_of(folders[-1]) + 1 + width_of(file) <= room:
        file = f"{folders.pop()}/{file}"
    return first + file


def _columns(letter: str) -> int:
    if category(letter) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1


def _fitting(letters: Iterable[str], width: int) -> str:
    kept, used = [], 0
    for letter in letters:
        used += _columns(letter)
        if used > width:
            break
        kept.append(letter)
    return "".join(kept)
