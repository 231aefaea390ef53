"""What a user means by a word: a PID, a session, a name, or nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from execd.errors import Ambiguous, NotFound
from execd.model.profile import IMPORTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from execd.model.session import Session
    from execd.model.target import Candidate, Target, TargetKey
    from execd.sessions.live import LiveTarget

_SESSION = re.compile(r"s\d+")
_GROUP = re.compile(r"g\d+")
_PROFILE = re.compile(r"p\d+")
_LISTED = 10
# What an interpreter's command line has before the program: options of one letter, several in one word, of which the
# last may have a value: the word's rest or the next word.
_OPTION_WITH_VALUE = re.compile(r"-[^cmWX-]*([cmWX])(.*)", re.DOTALL)
# Nobody means these by a name, or by all.
OWN_PROGRAMS = frozenset(("execd", "execctl", "execd.attach.helper"))


def is_pid(selector: str) -> bool:
    """Whether a selector is a PID: digits alone are one."""
    return selector.isascii() and selector.isdigit()


def is_session(selector: str) -> bool:
    """Whether a selector is a session's id."""
    return bool(_SESSION.fullmatch(selector))


def is_group(selector: str) -> bool:
    """Whether a selector is a group's id."""
    return bool(_GROUP.fullmatch(selector))


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
    targets = [row.target for row in candidates]
    key = only_called(name, called(name, targets) or called_partly(name, targets))
    if key is None:
        raise NotFound(f"no CPython process is called {name!r}", remedy="list them: execctl ps", name=name)
    return next(row for row in candidates if row.target.key == key)


def called(name: str, targets: Iterable[Target]) -> list[Target]:
    """Return the processes that have this whole name, with or without its ".py"."""
    return [target for target in targets if name in _names(target)]


def called_partly(name: str, targets: Iterable[Target]) -> list[Target]:
    """Return the processes with this text in their command line."""
    return [target for target in targets if name in " ".join(target.command_line)]


def only_called(name: str, fitting: Iterable[Target]) -> TargetKey | None:
    """Return the only process that a name fits, None for no process.

    Args:
        name: for the message.
        fitting: the processes; one may come several times.

    Raises:
        Ambiguous: there are several.
    """
    keys = list(dict.fromkeys(target.key for target in fitting))
    if len(keys) > 1:
        pids = _listed([str(key.pid) for key in keys])
        raise Ambiguous(f"{len(keys)} processes are called {name!r}: {pids}", remedy="name one by its PID", name=name)
    return keys[0] if keys else None


def live_meaning(
    word: str, sessions: Iterable[Session], targets: Sequence[Target], is_stored: Callable[[str], bool]
) -> str:
    """Return the session or the PID that a name means while that is live; any other word as it is.

    Args:
        word: what the user wrote.
        sessions: those that run.
        targets: those that have our agent.
        is_stored: whether a stored session or profile has a name; then it is no part of a command line.

    Raises:
        Ambiguous: several processes are called so.
    """
    if not word or any(is_id(word) for is_id in (is_pid, is_session, is_group, is_profile)):
        return word
    for session in sessions:
        if session.name == word:
            return session.id
    fitting = called(word, targets) or ([] if is_stored(word) else called_partly(word, targets))
    key = only_called(word, fitting)
    return word if key is None else str(key.pid)


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


def none_runs(pid: str, sessions: Iterable[Session]) -> NotFound:
    """Return the error where no session runs, with how the latest one ended.

    Args:
        pid: of one process, "" for all.
        sessions: the newest first.
    """
    what = f"no session runs on process {pid}" if pid else "there is no running session"
    last = next((one for one in sessions if one.ended and pid in ("", str(one.target.key.pid))), None)
    if last is None or last.form == IMPORTED:
        return NotFound(what, remedy="list them: execctl sessions --all")
    reason = f": {last.reason}" if last.reason else ""
    return NotFound(
        f"{what}; the latest, {last.id}, has ended ({last.state.value}{reason})",
        remedy=f"see what it recorded: execctl report {last.id}, or list them: execctl sessions --all",
    )


def has_ended(session: Session) -> NotFound:
    """Return the error where a session is to run and does not."""
    ended = f"session {session.id} has ended ({session.state.value})"
    return NotFound(ended, remedy=f"see what it recorded: execctl report {session.id}")


def only_attached(lives: Sequence[LiveTarget]) -> LiveTarget:
    """Return the only one of the attached targets.

    Raises:
        NotFound, Ambiguous.
    """
    if not lives:
        raise NotFound("no target is attached", remedy="list processes: execctl ps")
    if len(lives) > 1:
        pids = _listed([str(live.target.key.pid) for live in lives])
        raise Ambiguous(f"{len(lives)} targets are attached: {pids}", remedy="name one by its PID")
    return lives[0]


def _names(target: Target) -> tuple[str, str]:
    program = program_name(target.command_line)
    return program, program.removesuffix(".py")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
