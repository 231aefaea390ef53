"""All trees of a daemon, see `tree.py`; and what of a tree a word means that means its root."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach.entrance import METHOD as STARTED
from execd.errors import UsageError
from execd.sessions.recordings import Recording
from execd.sessions.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.attach.attacher import Attacher
    from execd.model.session import Session
    from execd.model.target import TargetKey
    from execd.sessions.armed import Running
    from execd.sessions.live import LiveTarget
    from execd.sessions.recorded import Recorded
    from execd.sessions.registry import Registry


class Trees:
    """All trees of one daemon.

    Args:
        registry, attacher, clock: see Tree.
    """

    def __init__(self, registry: Registry, attacher: Attacher, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._attacher = attacher
        self._clock = clock
        self._lock = threading.Lock()
        self._trees: dict[TargetKey, Tree] = {}

    def follow(self, live: LiveTarget, sessions: Sequence[Session]) -> None:
        """Record what is below a process too, where its sessions ask for that. The caller holds its lock.

        Args:
            live: the root.
            sessions: that have just begun there, of one group.

        Raises:
            UsageError, ExecdError: see `open`.
        """
        followed = [session for session in sessions if session.spec.children]
        if followed:
            specs = tuple(replace(session.spec, children=False) for session in followed)
            ends_at = max(live.running[session.id].ends_at for session in followed)
            self.open(live).record(Recording(followed[0].group, specs, ends_at))

    def below(
        self, chosen: Sequence[tuple[Recorded, Running]], all_that_run: Sequence[tuple[Recorded, Running]]
    ) -> list[tuple[Recorded, Running]]:
        """Return the sessions that those of roots among some stand for: the same of all that is below."""
        stand = {(row.session.group, row.armed.collector) for _, row in chosen if row.session.spec.children}
        own = {row.session.id for _, row in chosen}
        return [
            (live, row)
            for live, row in all_that_run
            if (row.session.group, row.armed.collector) in stand and row.session.id not in own
        ]

    def stop(self, chosen: Sequence[tuple[Recorded, Running]]) -> None:
        """Let no more processes be recorded for roots' sessions that are about to be stopped."""
        for live, running in chosen:
            tree = self._trees.get(live.target.key)
            if tree is not None and running.session.spec.children:
                tree.forget(running.session.group, running.armed.collector)

    def end(self, key: TargetKey) -> list[LiveTarget]:
        """Follow a root no more, and return what is below it with our agent."""
        tree = self._trees.get(key)
        return [] if tree is None else tree.forget()

    def leave(self, key: TargetKey) -> None:
        """Do not come back to a process that is let go of by its own name."""
        for tree in list(self._trees.values()):
            if tree.has(key):
                tree.leave(key)

    def close(self) -> None:
        """Follow nothing any more; what is in the targets is the registry's to end."""
        with self._lock:
            trees = list(self._trees.values())
        for tree in trees:
            tree.forget()

    def open(self, live: LiveTarget, start_s: float = 0.0) -> Tree:
        """Return the tree of a root, made anew where there is none. The caller holds its lock.

        Args:
            live: the root.
            start_s: how long a descendant that executes an interpreter may take to come by itself, 0.0 where none does.

        Raises:
            UsageError: it is in a tree itself.
            ExecdError: its agent cannot.
        """
        key = live.target.key
        with self._lock:
            self._trees = {root: tree for root, tree in self._trees.items() if not tree.is_over}
            tree = self._trees.get(key)
            other = next((one for one in self._trees.values() if one is not tree and one.has(key)), None)
        if other is not None:
            raise UsageError(
                f"process {key.pid} is recorded as a descendant of process {other.root.target.key.pid} already",
                remedy="attach without --children",
                pid=key.pid,
            )
        if tree is None:
            tree = Tree(self._registry, self._attacher, live, f"-{secrets.token_hex(8)}", self._clock, start_s)
            with self._lock:
                self._trees[key] = tree
            tree.start(root_waits=live.link.method != STARTED)
        return tree
