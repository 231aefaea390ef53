"""Everyone: all Python processes of this user, and those that come later, are sampled as one group."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach.process import start_ticks
from execd.attach.scan import look_at
from execd.errors import ExecdError
from execd.sessions import selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.model.session import OpenGroup, Session
    from execd.sessions.processes import Processes

_LOG = logging.getLogger("execd.sessions")
# A look at some hundred processes that are known takes some milliseconds.
LOOK_S = 5.0
# An interpreter that is found in a process may not have started yet.
_MOST_TRIES = 5


class Everyone:
    """One request to sample everyone, until it is ended. Looks must not overlap.

    Args:
        opened: the group, and what its sessions are.
        processes: tells which are Python's.
        begin: samples a process for a spec, a name and a group.
        keeper: returns the session that records a process in slices, by PID and start, "" where none does.
    """

    def __init__(
        self,
        opened: OpenGroup,
        processes: Processes,
        begin: Callable[..., list[Session]],
        keeper: Callable[[int, int], str],
    ) -> None:
        self.opened = opened
        self._processes, self._begin, self._keeper = processes, begin, keeper
        # By PID, start and program: those that need no further look, and how often the others were looked at.
        self._settled: set[tuple[int, int, int, int]] = set()
        self._tries: dict[tuple[int, int, int, int], int] = {}
        self._due = time.monotonic()
        # Held while one begins.
        self._beginning = threading.Lock()
        self._has_ended = False

    def look(self) -> tuple[list[Session], list[str]]:
        """Begin with those that have come since the last look, where one is due.

        Returns:
            Their sessions, and why others have none.
        """
        if time.monotonic() < self._due:
            return [], []
        self._due = time.monotonic() + LOOK_S
        sessions: list[Session] = []
        notes: list[str] = []
        present = set(_programs(os.geteuid()))
        self._settled &= present
        self._tries = {program: tries for program, tries in self._tries.items() if program in present}
        for program in sorted(present - self._settled):
            if keeper := self._keeper(program[0], program[1]):
                # Its turn comes when that one has ended.
                notes.append(f"process {program[0]} is recorded already, by session {keeper}")
                continue
            try:
                with self._beginning:
                    if self._has_ended:
                        break
                    sessions += self._begun(program)
            except ExecdError as error:
                notes.append(f"process {program[0]} is not sampled: {error.message}")
                _LOG.info("a process is not sampled", extra={"facts": {"pid": program[0], "why": error.message}})
        return sessions, notes

    def end(self) -> None:
        """Let nobody come any more: when this returns, who came before has a session."""
        with self._beginning:
            self._has_ended = True

    def _begun(self, program: tuple[int, int, int, int]) -> list[Session]:
        """Return the session of a process that it is to be sampled in; none where it is none of Python's."""
        pid = program[0]
        tries = self._tries.pop(program, 0) + 1
        if tries >= _MOST_TRIES:
            self._settled.add(program)
        else:
            self._tries[program] = tries
        if pid in self._processes.own_pids() or not self._processes.is_python(pid):
            return []
        target = look_at(pid)
        if selection.program_name(target.command_line) in selection.OWN_PROGRAMS:
            return []
        sessions = self._begin(target, [self.opened.spec], self.opened.name, group=self.opened.id)
        self._settled.add(program)
        self._tries.pop(program, None)
        return sessions


def _programs(uid: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the processes of a user, each with what tells its program from those before and after it."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        pid = int(entry.name)
        with suppress(OSError, ExecdError):  # it has ended, is the kernel's, or is not ours to look at
            if entry.stat().st_uid == uid:
                program = (entry / "exe").stat()
                yield pid, start_ticks(pid), program.st_dev, program.st_ino
