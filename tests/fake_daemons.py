"""Daemons whose agents answer by the book: a registry, a store, and children of ours as targets."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from execd.model.session import SessionSpec, State
from execd.sessions.registry import Registry
from fake_agents import FakeAgent, FakeAttacher
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.attachment import Attachment
    from execd.sessions.live import LiveTarget
    from execd.store.store import Store

CALLS = SessionSpec("calls", {"builtins": True})
LINES = SessionSpec("lines", {})
_EXEC_S = 10.0


class Daemon:
    """A registry with what it stands on, and children as targets."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.attacher = FakeAttacher()
        self.now = 1000.0
        self.registry = Registry(store, self.attacher, self.clock)  # type: ignore[arg-type]
        self._children: list[subprocess.Popen[bytes]] = []

    def clock(self) -> float:
        self.now += 1.0
        return self.now

    def target(self, *descriptors: int) -> int:
        """Start a process that waits, and has some descriptors of ours."""
        child = subprocess.Popen(["sleep", "60"], pass_fds=descriptors)
        self._children.append(child)
        # It is told of an instant before its command line can be read.
        assert becomes(lambda: bool(Path(f"/proc/{child.pid}/cmdline").read_bytes()), _EXEC_S)
        return child.pid

    def end(self, pid: int) -> None:
        """Kill a target; it stays a zombie until the test ends."""
        next(child for child in self._children if child.pid == pid).kill()

    def attach(self, pid: int, specs: Sequence[SessionSpec] = (CALLS,), name: str = "") -> Attachment:
        return self.registry.attach(str(pid), specs, timeout_s=1.0, cancelled=lambda: False, name=name)

    def agent(self, pid: int) -> FakeAgent:
        return self.attacher.agents.setdefault(pid, FakeAgent())

    def live(self, pid: int) -> LiveTarget:
        return next(live for live in self.registry.live_targets() if live.target.key.pid == pid)

    def until_ended(self, session: str) -> State:
        """Wait for the end of a session."""
        *_, last = self.registry.watch(session, lambda: False)
        return last.state

    def close(self) -> None:
        self.registry.close()
        for child in self._children:
            child.kill()
            child.wait()
