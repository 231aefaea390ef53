"""Processes: what there is to attach to, looked at without touching it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach.checks import first_failure
from execd.attach.interpreter import Finder
from execd.attach.place import where
from execd.attach.process import mappings
from execd.attach.scan import candidate, candidates, closed, look_at
from execd.errors import ExecdError, NotPermitted, UsageError
from execd.sampling.dump import take_dump
from execd.sessions import selection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from execd.attach.attacher import Attacher
    from execd.attach.interpreter import Interpreter
    from execd.model.dump import Dump
    from execd.model.target import Candidate, Target, TargetKey


class Processes:
    """The CPython processes of the machine. Its lock orders the reading of ELF files, which are remembered.

    Args:
        attacher: knows the marker of our agents, and its helper is left out.
        attached: returns the targets that have our agent.
    """

    def __init__(self, attacher: Attacher, attached: Callable[[], Collection[TargetKey]]) -> None:
        self._attacher = attacher
        self._attached = attached
        self._finder = Finder()
        self._lock = threading.Lock()

    def candidates(self) -> list[Candidate]:
        """Return the processes that this user can see, by PID."""
        with self._lock:
            found = candidates(self._finder, self._attacher.marker, self._attached(), self.own_pids())
        # Nobody means execd by a name: `execctl attach NAME` has the name in its own command line.
        return [row for row in found if selection.program_name(row.target.command_line) not in selection.OWN_PROGRAMS]

    def own_pids(self) -> set[int]:
        """Return this process and its helpers."""
        return {os.getpid(), *self._attacher.helper_pids}

    def inspect(self, selector: str, *, every_check: bool, allow_seccomp: bool) -> Candidate:
        """Return one process, by PID or name, and where its main thread is.

        Args:
            selector: a PID in digits, or a name that fits one process alone.
            every_check: with every check of an attach; reading seccomp filters stops a thread for an instant.
            allow_seccomp: of these checks.

        Raises:
            TargetGone, NotPermitted, NotFound, Ambiguous.
        """
        found = self._one(selector)
        key = found.target.key
        if found.target.python_version:
            found = replace(found, place=str(where(key.pid)))
        if not every_check:
            return found
        checks = self._attacher.examine(key, allow_seccomp=allow_seccomp)
        failed = first_failure(checks)
        return replace(found, reason=failed.detail if failed else "", checks=checks)

    def _one(self, selector: str) -> Candidate:
        if not selection.is_pid(selector):
            return selection.choose_candidate(selector, self.candidates())
        try:
            with self._lock:
                return candidate(int(selector), self._finder, self._attacher.marker, self._attached())
        except NotPermitted:
            # The checks tell what is in the way.
            return closed(int(selector))

    def is_python(self, pid: int) -> bool:
        """Whether a process is one of CPython's, as far as this user may look."""
        try:
            with self._lock:
                return bool(self._finder.version(pid))
        except ExecdError:
            return False

    def interpreter(self, pid: int) -> Interpreter:
        """Return the CPython of a process. Raises NotSupported, AttachBusy, TargetGone, NotPermitted."""
        with self._lock:
            return self._finder.find(pid, mappings(pid))

    def dump(self, selector: str, *, never_stop: bool, with_tasks: bool) -> Dump:
        """Return where the threads of a process are. Raises as `find`, `interpreter` and `take_dump` do."""
        target = self.find(selector)
        interpreter = self.interpreter(target.key.pid)
        return take_dump(target, interpreter, never_stop=never_stop, with_tasks=with_tasks)

    def find(self, selector: str) -> Target:
        """Return one process as a target, by PID or name. Raises UsageError, TargetGone, NotFound, Ambiguous."""
        if not selector:
            raise UsageError("no process was named", remedy="give a PID or a name; execctl ps lists them")
        if selection.is_pid(selector):
            return look_at(int(selector))
        return selection.choose_candidate(selector, self.candidates()).target
