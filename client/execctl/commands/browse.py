"""`execctl browse`."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.browse.browser import Browser
from execctl.browse.reading import Reader
from execctl.words import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execctl.client import Client
    from execctl.connection import Connection

_MOST_LINES = 1000


@click.command("browse")
@click.argument("subjects", nargs=-1, metavar="[SESSION|FILE]...", callback=named)
@click.pass_obj
def command(connection: Connection, *, subjects: tuple[str, ...]) -> None:
    """Look at statistics by the verbs of `python -m pstats`.

    A profile, session, PID or name as in `execctl report`, or a file of pstats, which is imported; further ones are
    added; nothing means the newest profile. `help` lists the verbs; /REGEX searches the names of functions. A session
    that goes on is looked at by a snapshot.
    """
    if sys.stdin is None:
        raise click.UsageError("standard input is closed: there is nothing to read verbs from")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")
    with connection.open() as client:
        browser = Browser(client, Reader(client))
        for verb in _first_verbs(client, subjects):
            browser.onecmd(verb)
        try:
            with _history():
                browser.cmdloop("Welcome to the profile statistics browser.")
                output.write_lines(["Goodbye."])
        except BrokenPipeError:
            # Of the prompt, which Python prints: nobody reads any more.
            output.mute(sys.stdout)


def _first_verbs(client: Client, subjects: tuple[str, ...]) -> list[str]:
    if not subjects:
        newest = client.profiles(limit=1)
        subjects = (newest[0].id,) if newest else ()
    return [f"{'add' if place else 'read'} {subject}" for place, subject in enumerate(subjects)]


@contextmanager
def _history() -> Iterator[None]:
    """Keep the lines that are typed on a terminal for the next time, where the interpreter can edit lines."""
    try:
        import readline  # noqa: PLC0415 - where the interpreter has it
    except ImportError:
        yield
        return
    # Names have brackets, dots and slashes.
    readline.set_completer_delims(" \t\n")
    if not sys.stdin.isatty():
        yield
        return
    file = _history_file()
    with suppress(OSError):
        readline.read_history_file(file)
    output.note("Tab completes, /REGEX searches names, Ctrl-R searches the history, help lists the verbs")
    try:
        yield
    finally:
        readline.set_history_length(_MOST_LINES)
        _save_history(file)


def _save_history(file: Path) -> None:
    import readline  # noqa: PLC0415 - as above

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        readline.write_history_file(file)
    except OSError as error:
        output.note(f"the history was not kept in {file}: {error.strerror}")


def _history_file() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    place = state if state.is_absolute() else Path.home() / ".local" / "state"
    return place / "execd" / "browse_history"
