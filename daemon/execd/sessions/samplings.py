"""Samplings: all processes that are sampled from outside, and the thread that takes over what samplers meet."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from execd.errors import ExecdError
from execd.sessions.everyone import Everyone
from execd.sessions.sampled import SampledTarget
from execd.sessions.sampled_tree import start_below

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.model.session import Session, SessionSpec
    from execd.model.target import Target, TargetKey
    from execd.sessions.armed import Running
    from execd.sessions.processes import Processes
    from execd.sessions.recorder import Recorder

_Looked = TypeVar("_Looked", SampledTarget, Everyone)
_LOG = logging.getLogger("execd.sessions")
# How often what was met is taken over; and how soon after that again where there are new code objects: they may be gone
# by the time that their names are read.
BEAT_S, _REST_S = 1.0, 0.02


class Samplings:
    """The processes that are sampled. Its lock guards the table alone; see SampledTarget for theirs.

    Args:
        recorder: keeps the sessions.
        processes: finds interpreters.
        clock: seconds since the epoch.
    """

    def __init__(self, recorder: Recorder, processes: Processes, clock: Callable[[], float]) -> None:
        self._recorder, self._processes, self._clock = recorder, processes, clock
        self._lock = threading.Lock()
        self._changed = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._targets: dict[TargetKey, SampledTarget] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._everyone: dict[str, Everyone] = {}
        # Of descendants that could not be sampled: how often that was tried.
        self._tried: dict[TargetKey, int] = {}

    def all(self) -> list[SampledTarget]:
        """Return the processes."""
        with self._lock:
            return list(self._targets.values())

    def running(self) -> list[tuple[SampledTarget, Running]]:
        """Return what is recorded of them."""
        return [(target, running) for target in self.all() for running in list(target.running.values())]

    def start(
        self, target: Target, specs: Sequence[SessionSpec], name: str, duration_s: float = 0.0, group: str = ""
    ) -> list[Session]:
        """Begin to sample a process: all sessions or none.

        Args:
            target: the process.
            specs: of samples.
            name: of the session.
            duration_s: after which they are ended if their client has not done it; 0.0: never.
            group: the one of an attach that starts others too, "" for a new one.

        Raises:
            ExecdError: nothing of it runs.
        """
        while True:
            sampled = self._entered(target)
            with sampled.lock:
                if sampled.gone:
                    continue  # its last session has just ended
                sessions = self._recorder.start_all(sampled, specs, name, group, is_part=bool(group))
                sampled.bound(sessions, duration_s)
                return sessions

    def start_everyone(self, spec: SessionSpec, name: str) -> tuple[str, list[Session], list[str]]:
        """Begin to sample every Python process of this user, and those that come later.

        Returns:
            The group of the sessions, those that have begun, and why others have not.
        """
        everyone = Everyone(spec, name, self._recorder.new_group(), self._processes, self.start)
        sessions, notes = everyone.look()
        with self._lock:
            self._everyone[everyone.group] = everyone
            self._wake()
        return everyone.group, sessions, notes

    def forget(self, group: str) -> bool:
        """Let no more processes come to a group; tell whether any could."""
        return self._everyone.pop(group, None) is not None

    def end(self, pid: int) -> list[Session]:
        """End what is recorded of a process, and return it as it ended."""
        return [self._stop(target, row) for target, row in self.running() if target.target.key.pid == pid]

    def close(self) -> None:
        """End and save all."""
        with self._lock:
            self._closing = True
            self._everyone.clear()
            os.eventfd_write(self._changed, 1)
        for target, running in self.running():
            self._stop(target, running)
        for target in self.all():
            self._drop(target)

    def _entered(self, target: Target) -> SampledTarget:
        """Return the process as one that is sampled."""
        with self._lock:
            known = self._targets.get(target.key)
        if known is not None:
            return known
        interpreter = self._processes.interpreter(target.key.pid)
        version = interpreter.version_text or ".".join(map(str, interpreter.version))
        fresh = SampledTarget(replace(target, python_version=version), interpreter, self._clock)
        with self._lock:
            known = self._targets.setdefault(target.key, fresh)
            self._wake()
        if known is not fresh:
            fresh.close()
        return known

    def _wake(self) -> None:
        """Have the thread run, and look at what is due; the caller holds the lock."""
        os.eventfd_write(self._changed, 1)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="execd-samples", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closing or not (self._targets or self._everyone):
                    self._thread = None
                    return
                targets = list(self._targets.values())
            for target in self._due(targets):
                target.looked_at = time.monotonic()
                # All at one instant: so there is one to wake up for.
                target.due = (target.looked_at // BEAT_S + 1) * BEAT_S
                self._guarded(self._beat, target)
            for everyone in list(self._everyone.values()):
                self._guarded(Everyone.look, everyone)

    def _due(self, targets: Sequence[SampledTarget]) -> list[SampledTarget]:
        """Wait until there is something to do, and return the processes that it is to be done for."""
        poller, told, now = select.poll(), {}, time.monotonic()
        poller.register(self._changed, select.POLLIN)
        due = min([now + BEAT_S, *(target.due for target in targets)])
        for target in targets:
            rested_at = target.looked_at + _REST_S
            if rested_at > now:
                due = min(due, rested_at)
                continue
            for news in target.news():
                poller.register(news, select.POLLIN)
                told[news] = target
        ready = {descriptor for descriptor, _ in poller.poll(max(due - now, 0.0) * 1000)}
        if self._changed in ready:
            os.eventfd_read(self._changed)
        has_news = {id(told[one]) for one in ready if one in told}
        now = time.monotonic()
        return [target for target in targets if target.due <= now or id(target) in has_news]

    def _guarded(self, do: Callable[[_Looked], object], looked: _Looked) -> None:
        try:
            do(looked)
        except Exception:  # noqa: BLE001 - it is logged, and the others go on
            _LOG.exception("a look at samples failed")

    def _beat(self, target: SampledTarget) -> None:
        """Take over what was met, end what is over, store what is due, follow descendants."""
        with target.lock:
            if target.gone:
                return
            try:
                target.look()
            except ExecdError as error:
                self._recorder.fail(target, error)
            for running in list(target.running.values()):
                if running.is_over:
                    self._recorder.stop(target, running)
            if not target.running:
                self._drop(target)
                return
        for running in list(target.running.values()):
            self._recorder.checkpoint(target, running)
            if running.session.spec.children:
                start_below(self, target, running, self._tried)

    def _stop(self, target: SampledTarget, running: Running) -> Session:
        with target.lock:
            return self._recorder.stop(target, running)

    def _drop(self, target: SampledTarget) -> None:
        with target.lock:
            target.close()
        with self._lock:
            self._targets.pop(target.target.key, None)
