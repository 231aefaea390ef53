"""The only place that prints: data on stdout; progress, notes and errors on stderr.

Text from a target passes `escape` here, whatever command printed it. A reader that went away (`| head -1`) is
no error: the stream goes to /dev/null from then on, so that a command still ends its session and detaches.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TextIO

from execctl.errors import CannotWrite
from execctl.escape import escape, escape_json, escape_lines, escape_styled
from execctl.query import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BOLD = "1"
_RED = "31"
_PADDED = 60
_INDENT = "    "
# Of a width.
_MOST_DIGITS = 5
# Below it, lines of sentences are left to the terminal.
_NARROWEST = 20


def write_lines(lines: Iterable[str]) -> None:
    """Print each text on a line of its own to stdout."""
    _print("".join(f"{escape(line)}\n" for line in lines))


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are: an export, already made harmless where it is text."""
    _print(data)


def write_stream(text: str) -> bool:
    """Write lines of text to stdout, and return whether anybody reads them."""
    if sys.stdout is None:
        raise not_written("it is closed")
    try:
        _write(sys.stdout, escape_lines(text))
    except BrokenPipeError:
        return False
    except OSError as failure:
        raise not_written(failure.strerror) from failure
    return True


def write_json(value: object) -> None:
    """Print a JSON value to stdout; pure ASCII, so that nothing in it needs a second look."""
    import json  # noqa: PLC0415 - a tenth of the time of `execctl --help`

    _print(json.dumps(value, indent=2) + "\n")


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, prose: int = 0) -> None:
    """Print a table to stdout; a pipe gets every line whole, a terminal lines that fit it.

    Args:
        head: the names of the columns.
        rows: the cells.
        prose: how many columns at the end are sentences. On a terminal that is too narrow they stand below their
            row, whole; everything else is cut.
    """
    cells = [list(head), *([escape(cell) for cell in row] for row in rows)]
    lines = _table_lines(cells)
    columns = _columns(sys.stdout)
    if columns and any(_width(line) > columns for line in lines):
        lines = _narrow_lines(cells, len(head) - prose, columns)
    lines[0] = _styled(lines[0], _BOLD, sys.stdout)
    _print("".join(f"{line}\n" for line in lines))


def note(text: str) -> None:
    """Tell the user something beside the data, on stderr."""
    _tell(f"{escape(text)}\n")


def suggest(*commands: str) -> None:
    """Name the commands that come next, on stderr."""
    for command in commands:
        note(f"next: {command}")


def help_text(text: str) -> None:
    """Print help that was not asked for, on stderr."""
    _tell(f"{text}\n")


def error(message: str, remedy: str = "", facts: Mapping[str, str] | None = None) -> None:
    """Print why the command failed and on the lines after it what to do, on stderr."""
    lines = [f"{_styled('execctl:', _RED, sys.stderr)} {escape(message)}"]
    lines += [f"  {escape(name)}: {escape(value)}" for name, value in sorted((facts or {}).items())]
    if remedy:
        lines.append(escape_lines(remedy))
    _tell("".join(f"{line}\n" for line in lines))


def trace(text: str) -> None:
    """Print the traceback of a bug, on stderr."""
    _tell(escape_lines(text))


def stdout_is_terminal() -> bool:
    """Whether the data go to a terminal, which must not get bytes."""
    return _is_terminal(sys.stdout)


def layout(file: str | None = None, color: str = "auto", *, is_wide: bool = False, has_header: bool = True) -> Layout:
    """Return how a text report is laid out for the place that it goes to.

    Args:
        file: that place; None or "-" for standard output.
        color: "auto", "always" or "never".
        is_wide: nothing is shortened.
        has_header: what stands above and below the tables is wanted too.
    """
    stream = sys.stdout if file in (None, "-") else None
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-")
    return Layout(
        width=_asked_columns() or _columns(stream),
        is_wide=is_wide,
        has_color=color == "always" or (color == "auto" and _has_color(stream)),
        is_ascii=encoding not in ("utf-8", "utf8"),
        has_header=has_header,
    )


def printable(data: bytes, form: str, *, has_color: bool = False) -> bytes:
    """Return a rendering with everything that came from a target made harmless.

    Args:
        data: the rendering.
        form: "text" and "collapsed" are lines of text, "json" stays valid JSON, any other form is not text.
        has_color: the lines of text have colours, which stay.
    """
    if form == "text" and has_color:
        return escape_styled(data.decode("utf-8", "backslashreplace")).encode()
    if form in {"text", "collapsed"}:
        return escape_lines(data.decode("utf-8", "backslashreplace")).encode()
    if form == "json":
        return escape_json(data.decode("utf-8", "backslashreplace")).encode()
    return data


def not_written(why: str | None) -> CannotWrite:
    """Return the error for data that standard output does not take.

    Args:
        why: as the system says it.
    """
    return CannotWrite(f"cannot write to standard output: {why}", remedy="choose another place for the output")


def meanwhile(text: str) -> None:
    """Say on stderr what is being waited for, to somebody who sits there: nothing where it is no terminal."""
    if _is_terminal(sys.stderr):
        note(text)


class Progress:
    """A line on stderr that is rewritten in place on a terminal; elsewhere only its first text is printed."""

    def __init__(self) -> None:
        self._live = _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._shown:
            _tell("\r\x1b[K")

    def show(self, text: str) -> None:
        """Put this text on the line."""
        if self._live:
            _tell(f"\r\x1b[K{escape(text)}")
        elif not self._shown:
            note(text)
        self._shown = True


def _columns(stream: TextIO | None) -> int:
    """Return the width of a terminal; 0 where there is none, and for one that was not told its size."""
    if stream is None or not stream.isatty():
        return 0
    return os.get_terminal_size(stream.fileno()).columns


def _asked_columns() -> int:
    """Return the width that the environment asks for; 0 where it asks for none."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= _MOST_DIGITS else 0


def _table_lines(cells: Sequence[Sequence[str]]) -> list[str]:
    # A longer cell moves what stands after it on its own line alone.
    widths = [min(max(map(_width, column)), _PADDED) for column in zip(*cells, strict=True)]
    return [_table_line(row, widths) for row in cells]


def _narrow_lines(cells: Sequence[Sequence[str]], kept: int, columns: int) -> list[str]:
    """Return the lines of a table for a narrow terminal: the columns from `kept` on below a row that is too long."""
    head, *whole = _table_lines(cells)
    lines = [head[:columns].rstrip()]
    for row, line, short in zip(cells[1:], whole, _table_lines([row[:kept] for row in cells])[1:], strict=True):
        if _width(line) <= columns:
            lines.append(line)
        else:
            lines.append(_cut(short, columns))
            lines += [piece for sentence in row[kept:] for piece in _wrapped(sentence, columns)]
    return lines


def _wrapped(sentence: str, columns: int) -> list[str]:
    from textwrap import wrap  # noqa: PLC0415 - for a narrow terminal alone

    return wrap(sentence, max(columns, _NARROWEST), initial_indent=_INDENT, subsequent_indent=_INDENT)


def _table_line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - a table that few runs need

    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def _cut(line: str, columns: int) -> str:
    if _width(line) <= columns:
        return line
    while _width(line) > max(columns - 3, 0):
        line = line[:-1]
    return line + "..."


def _styled(text: str, code: str, stream: TextIO | None) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _has_color(stream) else text


def _has_color(stream: TextIO | None) -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and _is_terminal(stream)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _print(data: str | bytes) -> None:
    # A descriptor that was closed before the start (>&-) leaves no stream at all.
    if sys.stdout is None:
        raise not_written("it is closed")
    try:
        _write(sys.stdout, data)
    except BrokenPipeError:
        return
    except OSError as failure:
        raise not_written(failure.strerror) from failure


def _tell(text: str) -> None:
    # There is no place left to tell that stderr takes nothing.
    if sys.stderr is not None:
        with suppress(OSError):
            _write(sys.stderr, text)


def _write(stream: TextIO, data: str | bytes) -> None:
    if isinstance(data, str):
        data = data.encode(stream.encoding, "backslashreplace")
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError:
        mute(stream)
        raise


def mute(stream: TextIO) -> None:
    """Send what a stream still holds, and all that comes, to nowhere."""
    # What is left in the stream's buffer must go somewhere, or the interpreter complains when it ends.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
