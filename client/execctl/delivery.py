"""Brings a rendering to where the user wants it: standard output, a file, or files below a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl import output
from execctl.errors import CannotWrite, ClientError, NotFound, UsageError
from execctl.files import save, save_below, save_beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.api.rendering import Rendering

# What people read is made harmless wherever it goes.
_READ = frozenset({"text", "pstats-text", "summary", "source", "collapsed"})
# What programs read too, byte by byte, is made harmless on a terminal alone.
_LINES = frozenset({"cover", "lcov", "cobertura"})
_JSON = frozenset({"json", "whole", "speedscope"})
# What the daemon puts colours into; in any other form they would be a target's own.
_COLORED = frozenset({"text", "source"})
# The directory that stands for that of each source.
BESIDE = "@source"
_TOLD = 5


def refuse_terminal(form: str, file: str | None, command: str) -> None:
    """Refuse to write bytes to a terminal; before the daemon is asked for them.

    Args:
        form: the format, maybe one that only the daemon knows.
        file: where it goes; None or "-" for standard output.
        command: what was asked, for the remedy: "execctl export".
    """
    if file not in (None, "-") or form in _READ | _LINES | _JSON or not output.stdout_is_terminal():
        return
    raise UsageError(
        f"{form} is binary, and standard output is a terminal",
        remedy=f"name a file: `{command} --format {form} -o FILE`, or pipe it on",
    )


def deliver(rendering: Rendering, form: str, file: str | None, *, has_color: bool = False) -> None:
    """Print or save a rendering, made harmless, and tell its notes on stderr.

    Args:
        rendering: what the daemon rendered.
        form: its format, "text".
        file: the file to write; None or "-" for standard output.
        has_color: it was asked for with colours.
    """
    is_printed = file is None or file == "-"
    shown_as = _shown_as(form, on_terminal=is_printed and output.stdout_is_terminal())
    data = output.printable(rendering.data, shown_as, has_color=has_color and form in _COLORED)
    if file is None or file == "-":
        output.write_bytes(data)
    else:
        save(file, data)
        output.note(f"wrote {_profiles(rendering)} to {file}: {len(data)} bytes")
    _tell_notes(rendering)


def deliver_files(rendering: Rendering, directory: str) -> None:
    """Save the files of a rendering and tell its notes on stderr.

    Args:
        rendering: what the daemon rendered.
        directory: where they go; BESIDE for the places that their names say.

    Raises:
        ClientError: there are none, or none can be written.
    """
    if not rendering.files:
        raise NotFound(
            f"no source of {rendering.profile} is known: there is nothing to list",
            remedy=f"`execctl report {rendering.profile}` says why, file by file",
        )
    if directory == BESIDE:
        written = _write_each(rendering, save_beside)
    else:
        written = _write_each(rendering, lambda name, data: save_below(directory, name, data))
    where = "beside their sources" if directory == BESIDE else f"below {directory}"
    output.note(f"wrote {written} files of {rendering.profile} {where}")
    _tell_notes(rendering)


def _profiles(rendering: Rendering) -> str:
    told = ", ".join((rendering.profile, *rendering.added[: _TOLD - 1]))
    rest = len(rendering.added) - _TOLD + 1
    return f"{told} and {rest} more" if rest > 0 else told


def _write_each(rendering: Rendering, write: Callable[[str, bytes], None]) -> int:
    """Write the files that can be written, as the trace module does, and return how many these are.

    Raises:
        ClientError: of the first that could not, where there are no others.
    """
    failures: list[ClientError] = []
    seen: set[str] = set()
    for name, data in rendering.files:
        try:
            if name in seen:
                raise _twice(name)
            seen.add(name)
            write(name, data)
        except ClientError as failure:
            failures.append(failure)
    if failures and len(failures) == len(rendering.files):
        raise failures[0]
    for told in failures[:_TOLD]:
        output.note(f"skipped: {told.message}")
    if len(failures) > _TOLD:
        output.note(f"skipped: {len(failures) - _TOLD} files more")
    return len(rendering.files) - len(failures)


def _twice(name: str) -> CannotWrite:
    return CannotWrite(f"two sources have the listing {name}")


def _shown_as(form: str, *, on_terminal: bool) -> str:
    if form in _JSON:
        return "json"
    return "text" if form in _READ or (form in _LINES and on_terminal) else form


def _tell_notes(rendering: Rendering) -> None:
    for sentence in rendering.notes:
        output.note(sentence)
