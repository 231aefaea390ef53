"""What a user means by a word: a PID, a session, a name, or nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from execd.errors import Ambiguous, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.session import Session
    from execd.model.target import Candidate

_SESSION = re.compile(r"s\d+")
_PROFILE = re.compile(r"p\d+")
_LISTED = 10
# What an interpreter's command line has before the program: options of one letter, several in one word, of which the
# last may have a value: the word's rest or the next word.
_OPTION_WITH_VALUE = re.compile(r"-[^cmWX-]*([cmWX])(.*)", re.DOTALL)


def is_pid(selector: str) -> bool:
    """Whether a selector is a PID: digits alone are one."""
    return selector.isascii() and selector.isdigit()


def is_session(selector: str) -> bool:
    """Whether a selector is a session's id."""
    return bool(_SESSION.fullmatch(selector))


def is_profile(selector: str) -> bool:
    """Whether a selector is a profile's id."""
    return bool(_PROFILE.fullmatch(selector))


def program_name(command_line: Sequence[str]) -> str:
    """Return what a process is called by: its script without directory, its -m module, or its executable.

    Args:
        command_line: argv.
    """
    arguments = list(command_line[1:])
    while arguments:
        argument = arguments.pop(0)
        if option := _OPTION_WITH_VALUE.fullmatch(argument):
            value = option[2] or (arguments.pop(0) if arguments else "")
            if option[1] == "c":
                break
            if option[1] == "m" and value:
                return value
        elif not argument.startswith("-"):
            return argument.rpartition("/")[2]
    return command_line[0].rpartition("/")[2] if command_line else ""


def choose_candidate(name: str, candidates: Sequence[Candidate]) -> Candidate:
    """Return the one process that a name fits: the program's whole name first, then a part of the command line.

    Raises:
        NotFound, Ambiguous.
    """
    fitting = [row for row in candidates if name in _names(row)]
    fitting = fitting or [row for row in candidates if name in " ".join(row.target.command_line)]
    if not fitting:
        raise NotFound(f"no CPython process is called {name!r}", remedy="list them: execctl ps", name=name)
    if len(fitting) > 1:
        pids = [str(row.target.key.pid) for row in fitting]
        raise Ambiguous(
            f"{len(pids)} processes are called {name!r}: {_listed(pids)}", remedy="name one by its PID", name=name
        )
    return fitting[0]


def only(sessions: Sequence[Session], what: str) -> Session:
    """Return the only one of several sessions.

    Args:
        sessions: the candidates.
        what: what they are, for the message.

    Raises:
        NotFound, Ambiguous.
    """
    if not sessions:
        raise NotFound(f"there is no {what}", remedy="list them: execctl sessions --all")
    if len(sessions) > 1:
        names = [session.id for session in sessions]
        raise Ambiguous(
            f"there are {len(names)} {what}s: {_listed(names)}", remedy=f"name one of them, {names[0]} for example"
        )
    return sessions[0]


def _names(row: Candidate) -> tuple[str, str]:
    program = program_name(row.target.command_line)
    return program, program.removesuffix(".py")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
