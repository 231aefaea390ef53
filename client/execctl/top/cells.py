"""Texts in a grid of cells: how many columns they take, how they are cut to fewer, and bars. Of escaped texts alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WHOLE = "█"


class Style(Enum):
    """How a text is shown, where the terminal can."""

    PLAIN = "plain"
    BOLD = "bold"
    DIM = "dim"
    TITLE = "title"
    BAR = "bar"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Span:
    """A text in one style."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Charset:
    """What the terminal can show beside letters.

    Attributes:
        is_ascii: nothing.
    """

    is_ascii: bool = False

    @property
    def mark(self) -> str:
        """What stands for what was left out."""
        return ".." if self.is_ascii else "…"

    @property
    def descending(self) -> str:
        """What marks the column that a table is sorted by."""
        return "v" if self.is_ascii else "▼"

    def bar(self, share: float, width: int) -> str:
        """Return a bar for a share from 0.0 to 1.0, with blanks up to a width."""
        share = min(max(share, 0.0), 1.0)
        if self.is_ascii:
            return ("#" * round(share * width)).ljust(width)
        whole, eighths = divmod(round(share * width * 8), 8)
        return (_WHOLE * whole + (_EIGHTHS[eighths] if eighths else "")).ljust(width)


def width_of(text: str) -> int:
    """Return the columns that a text takes: two for wide letters, none for marks above and below others."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, width: int, mark: str = "") -> str:
    """Return the text, or as much of its start as a width holds, with a mark after it."""
    if width_of(text) <= width:
        return text
    return _fitting(text, width - width_of(mark)) + mark if width >= width_of(mark) else _fitting(text, width)


def end_of(text: str, width: int, mark: str) -> str:
    """Return the text, or as much of its end as a width holds, with a mark before it."""
    if width_of(text) <= width:
        return text
    if width < width_of(mark):
        return _fitting(text, width)
    return mark + _fitting(reversed(text), width - width_of(mark))[::-1]


def left(text: str, width: int) -> str:
    """Return the text with blanks after it up to a width; a longer one is cut."""
    text = cut(text, width)
    return text + " " * (width - width_of(text))


def short_path(place: str, width: int, mark: str) -> str:
    """Return a path with as many of its last directories as a width holds after its first one."""
    if width_of(place) <= width:
        return place
    *folders, file = place.split("/")
    start = "/".join([*folders[: 2 if place.startswith("/") else 1], mark, ""])
    room = width - width_of(start)
    if width_of(file) > room:
        return end_of(file, width, mark)
    while folders and width_of(folders[-1]) + 1 + width_of(file) <= room:
        file = f"{folders.pop()}/{file}"
    return start + file


def fitted(spans: Sequence[Span], width: int) -> list[Span]:
    """Return what a width holds of a line."""
    found = []
    for span in spans:
        text = cut(span.text, width)
        width -= width_of(text)
        if text:
            found.append(Span(text, span.style))
        if text != span.text:
            break
    return found


def spread(start: str, end: str, width: int, mark: str) -> str:
    """Return a line with one text at its start and another at its end, of which the first gives way."""
    room = width - width_of(end) - 1
    if not end or room < width_of(mark):
        return left(start, width)
    return f"{left(cut(start, room, mark), room)} {end}"


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
