"""A process that is asked whether it can be attached to."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from execd.attach import process, seccomp
from execd.attach.stopped import StopClock, Stopper

if TYPE_CHECKING:
    from execd.attach.interpreter import Finder, Interpreter
    from execd.attach.ptrace import Ptrace


class Subject:
    """What is known of one process at one instant: read when the first check asks for it, and kept for the others.

    Args:
        pid: the process.
        marker: the marker that this daemon leaves in its targets.
        finder: finds its CPython.
        ptrace: for what cannot be known without stopping a thread; None: that stays unknown.
        allow_seccomp: filters that cannot be read are no hindrance.
    """

    def __init__(
        self, pid: int, marker: str, finder: Finder, ptrace: Ptrace | None = None, *, allow_seccomp: bool = False
    ) -> None:
        self.pid = pid
        self.marker = marker
        self.allow_seccomp = allow_seccomp
        self.clock = StopClock()
        self._finder = finder
        self._ptrace = ptrace

    @cached_property
    def status(self) -> process.Status:
        """Its /proc/PID/status."""
        return process.status(self.pid)

    @cached_property
    def mappings(self) -> list[process.Mapping]:
        """Its memory map."""
        return process.mappings(self.pid)

    @cached_property
    def interpreter(self) -> Interpreter:
        """Its CPython. Raises as Finder.find does."""
        return self._finder.find(self.pid, self.mappings)

    @cached_property
    def stopper(self) -> Stopper | None:
        """What stops its threads, None where nothing may be stopped."""
        return Stopper(self.pid, self._ptrace, self.clock, self.mappings) if self._ptrace else None

    @cached_property
    def filters(self) -> set[bytes]:
        """Its seccomp filters, where its threads may be stopped. Raises AttachBusy."""
        return seccomp.read_filters(self.stopper) if self.stopper else set()
