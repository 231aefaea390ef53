"""The only place that prints: data on stdout; progress, notes and errors on stderr.

Text from a target passes `escape` here, whatever command printed it. A reader that went away (`| head -1`) is
no error: the stream goes to /dev/null from then on, so that a command still ends its session and detaches.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self, TextIO

from execctl.errors import ClientError
from execctl.escape import escape, escape_json, escape_lines
from execctl.exits import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_BOLD = "1"
_RED = "31"


def write_lines(lines: Iterable[str]) -> None:
    """Print each text on a line of its own to stdout."""
    _emit(sys.stdout, "".join(f"{escape(line)}\n" for line in lines))


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are: an export, already made harmless where it is text."""
    _emit(sys.stdout, data)


def write_json(value: object) -> None:
    """Print a JSON value to stdout; pure ASCII, so that nothing in it needs a second look."""
    import json  # noqa: PLC0415 - a tenth of the time of `execctl --help`

    _emit(sys.stdout, json.dumps(value, indent=2) + "\n")


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout; on a terminal each line is cut to its width."""
    cells = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(head, *cells, strict=True)]
    lines = [_table_line(row, widths) for row in [head, *cells]]
    if sys.stdout.isatty():
        # A terminal that was not told its size says 0.
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
        lines = [_cut(line, columns) if columns else line for line in lines]
    lines[0] = _styled(lines[0], _BOLD, sys.stdout)
    _emit(sys.stdout, "".join(f"{line}\n" for line in lines))


def note(text: str) -> None:
    """Tell the user something beside the data, on stderr."""
    _emit(sys.stderr, f"{escape(text)}\n")


def suggest(*commands: str) -> None:
    """Name the commands that come next, on stderr."""
    for command in commands:
        note(f"next: {command}")


def help_text(text: str) -> None:
    """Print help that was not asked for, on stderr."""
    _emit(sys.stderr, f"{text}\n")


def error(message: str, remedy: str = "", facts: Mapping[str, str] | None = None) -> None:
    """Print why the command failed and on the lines after it what to do, on stderr."""
    lines = [f"{_styled('execctl:', _RED, sys.stderr)} {escape(message)}"]
    lines += [f"  {escape(name)}: {escape(value)}" for name, value in sorted((facts or {}).items())]
    if remedy:
        lines.append(escape_lines(remedy))
    _emit(sys.stderr, "".join(f"{line}\n" for line in lines))


def trace(text: str) -> None:
    """Print the traceback of a bug, on stderr."""
    _emit(sys.stderr, escape_lines(text))


def stdout_is_terminal() -> bool:
    """Whether the data go to a terminal, which must not get bytes."""
    return sys.stdout.isatty()


def printable(data: bytes, form: str) -> bytes:
    """Return a rendering with everything that came from a target made harmless.

    Args:
        data: the rendering.
        form: "text" and "collapsed" are lines of text, "json" stays valid JSON, any other form is not text.
    """
    if form in {"text", "collapsed"}:
        return escape_lines(data.decode("utf-8", "backslashreplace")).encode()
    if form == "json":
        return escape_json(data.decode("utf-8", "backslashreplace")).encode()
    return data


class Progress:
    """A line on stderr that is rewritten in place on a terminal; elsewhere only its first text is printed."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._shown:
            _emit(sys.stderr, "\r\x1b[K")

    def show(self, text: str) -> None:
        """Put this text on the line."""
        if self._live:
            _emit(sys.stderr, f"\r\x1b[K{escape(text)}")
        elif not self._shown:
            note(text)
        self._shown = True


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


def _styled(text: str, code: str, stream: TextIO) -> str:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def _emit(stream: TextIO, data: str | bytes) -> None:
    if isinstance(data, str):
        data = data.encode(stream.encoding, "backslashreplace")
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError as failure:
        _mute(stream)
        if stream is sys.stdout and not isinstance(failure, BrokenPipeError):
            raise ClientError(
                f"cannot write to standard output: {failure.strerror}",
                kind="cannot_write",
                exit_code=ExitCode.USAGE,
            ) from failure


def _mute(stream: TextIO) -> None:
    # What is left in the stream's buffer must go somewhere, or the interpreter complains when it ends.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
