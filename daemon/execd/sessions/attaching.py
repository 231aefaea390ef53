"""An attach: the agent goes into a process, a sampler looks at it from outside, or both, for sessions of one group."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import AttachTimeout, ExecdError
from execd.model.attachment import OUTSIDE, Attachment
from execd.model.collector import SAMPLES
from execd.sessions import sums
from execd.sessions.below import Below
from execd.sessions.live import LiveTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.attach.attacher import Attacher
    from execd.model.session import Session, SessionSpec
    from execd.model.target import Target
    from execd.sessions.attached import Attached
    from execd.sessions.processes import Processes
    from execd.sessions.registry import Registry
    from execd.store.store import Store


class Attaching:
    """Attaches for a registry.

    Args:
        registry: gets what is attached to.
        store: says which names are taken.
        attacher: puts agents into processes.
        table, processes: the registry's.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        attacher: Attacher,
        table: Attached,
        processes: Processes,
        clock: Callable[[], float],
    ) -> None:
        self._registry, self._store, self._attacher = registry, store, attacher
        self._table, self._processes, self._clock = table, processes, clock

    def attach(
        self,
        selector: str,
        specs: Sequence[SessionSpec],
        *,
        timeout_s: float,
        cancelled: Callable[[], bool],
        name: str = "",
        allow_seccomp: bool = False,
        duration_s: float = 0.0,
    ) -> Attachment:
        """Put the agent into a process, or join the one there, and start sessions: all or none.

        Samples alone need no agent: then the process is looked at from outside.

        Args:
            selector: a PID in digits, or a name that fits one process alone.
            specs: what to start.
            timeout_s: how long the target may take to reach a safe point.
            cancelled: whether the operator has given up.
            name: of the session; with several, each gets its collector's name added.
            allow_seccomp: attach under seccomp filters that cannot be read too.
            duration_s: after which the sessions are ended if their client has not done it; 0.0: never.

        Raises:
            ExecdError: the target goes on as before, and nothing runs that did not run before.
        """
        began = time.perf_counter_ns()
        self._store.check_session_name(name)
        sums.check_into(self._store, specs)
        if specs:
            self._store.check_room()
        target = self._processes.find(selector)
        if specs and all(spec.collector == SAMPLES.name for spec in specs):
            return self._sampled(target, specs, name, duration_s, began)
        with self._table.turn(target.key):
            live = self._registry.answering(target.key)
            joined = live is not None
            if live is None:
                link = self._attacher.attach(target.key, timeout_s, cancelled, allow_seccomp=allow_seccomp)
                live = LiveTarget(replace(target, python_version=link.hello.python_version), link, self._clock)
                self._registry.enter(live)
            with live.lock:
                try:
                    if not specs:
                        live.ping()
                    own = inside(specs)
                    begun = self._registry.recorder.start_all(live, own, name, is_part=len(own) < len(specs))
                    self._undo_cancelled(live, begun, cancelled)
                    live.bound(begun, duration_s, came_for_them=not joined)
                    sessions = completed(self._registry, live, begun, specs, name, duration_s)
                except ExecdError:
                    if not joined:
                        self._registry.leave(live)
                    raise
        return self._told(live, sessions, specs, began, joined=joined)

    def _told(
        self, live: LiveTarget, sessions: list[Session], specs: Sequence[SessionSpec], began: int, *, joined: bool
    ) -> Attachment:
        """Return what an attach came to, which is over."""
        self._registry.look_again()
        pid, method = live.target.key.pid, live.link.method
        self._store.audit(0, "attach", pid, "joined" if joined else method)
        # A collector that was armed before is armed now.
        attach_us = (max(live.armed_ns, began) - began) // 1000
        stopped_us = 0 if joined else live.link.stopped_us
        return Attachment(live.target, tuple(sessions), joined, attach_us, stopped_us, method, self._notes(pid, specs))

    def _sampled(
        self, target: Target, specs: Sequence[SessionSpec], name: str, duration_s: float, began: int
    ) -> Attachment:
        """Look at a process from outside alone."""
        sessions = self._registry.samplings.start(target, specs, name, duration_s)
        self._store.audit(0, "attach", target.key.pid, OUTSIDE)
        attach_us = (time.perf_counter_ns() - began) // 1000
        notes = self._notes(target.key.pid, specs)
        # There is no agent to be taken out.
        joined, stopped_us = True, 0
        return Attachment(sessions[0].target, tuple(sessions), joined, attach_us, stopped_us, OUTSIDE, notes)

    def _notes(self, pid: int, specs: Sequence[SessionSpec]) -> tuple[str, ...]:
        """Return what is to be said of a process that records, but not below it."""
        if not specs or any(spec.children for spec in specs):
            return ()
        return tuple(filter(None, [Below(pid, self._processes.is_python).told()]))

    def _undo_cancelled(self, live: LiveTarget, sessions: list[Session], cancelled: Callable[[], bool]) -> None:
        """End what was started for somebody who is not there any more: nobody would know of it."""
        if cancelled():
            _undo(self._registry, live, sessions)
            raise AttachTimeout(f"the attach to process {live.target.key.pid} was cancelled")


def inside(specs: Sequence[SessionSpec]) -> list[SessionSpec]:
    """Return what the agent is to record."""
    return [spec for spec in specs if spec.collector != SAMPLES.name]


def completed(
    registry: Registry,
    live: LiveTarget,
    begun: list[Session],
    specs: Sequence[SessionSpec],
    name: str,
    duration_s: float = 0.0,
) -> list[Session]:
    """Begin with what is beside the agent's sessions: what follows descendants, and samplers. All or nothing.

    Args:
        registry: that has them.
        live: the target; the caller holds its lock.
        begun: the agent's sessions.
        specs: of all.
        name: of the sessions.
        duration_s: see Attaching.attach.

    Returns:
        All sessions, in the order of the specs.
    """
    outside = [spec for spec in specs if spec.collector == SAMPLES.name]
    try:
        registry.trees.follow(live, begun)
        group = begun[0].group if begun else ""
        sampled = registry.samplings.start(live.target, outside, name, duration_s, group) if outside else []
    except ExecdError:
        _undo(registry, live, begun)
        raise
    rest = {True: iter(sampled), False: iter(begun)}
    return [next(rest[spec.collector == SAMPLES.name]) for spec in specs]


def _undo(registry: Registry, live: LiveTarget, sessions: list[Session]) -> None:
    for session in sessions:
        registry.recorder.stop(live, live.running[session.id])
