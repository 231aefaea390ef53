"""Samplings: all processes that are sampled from outside; a thread takes over what is met, another one stores it."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from execd.attach import access
from execd.attach.descendants import has_memory
from execd.attach.scan import look_at
from execd.errors import CollectorRefused, ExecdError, StoreFull, TargetGone
from execd.model.session import OpenGroup
from execd.sampling.sampler import Crowd
from execd.sessions.everyone import Everyone
from execd.sessions.sampled import SampledTarget
from execd.sessions.sampled_tree import start_below

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from execd.model.session import Session, SessionSpec
    from execd.model.target import Target, TargetKey
    from execd.sessions.armed import Running
    from execd.sessions.processes import Processes
    from execd.sessions.recorder import Recorder

_Looked = TypeVar("_Looked")
_LOG = logging.getLogger("execd.sessions")
# How often what was met is taken over; and how soon after that again where there are new code objects: they may be gone
# by the time that their names are read.
BEAT_S, _REST_S = 1.0, 0.02
# That store at once when all is ended: files are synced together, and profiles made while others wait for the disk.
_WORKERS = 8


class Samplings:
    """The processes that are sampled. Its lock guards the table alone; see SampledTarget for theirs.

    Two threads are there while anything is sampled. `execd-samples` takes over what samplers meet, and never waits for
    the disk: what is not read in time has no name. `execd-sampled` does what the disk may keep waiting: it ends
    sessions, stores checkpoints, and begins with processes that have come. Nothing is queued between them: what is due
    is seen at the target, so that it is done once however long the disk takes, and again where it failed.

    Args:
        recorder: keeps the sessions.
        processes: finds interpreters.
        clock: seconds since the epoch.
    """

    def __init__(self, recorder: Recorder, processes: Processes, clock: Callable[[], float]) -> None:
        self._recorder, self._processes, self._clock = recorder, processes, clock
        self._lock = threading.Lock()
        self._crowd = Crowd()
        self._changed = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Set when sessions are to be ended.
        self._told = threading.Event()
        self._targets: dict[TargetKey, SampledTarget] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closing = False
        self._everyone: dict[str, Everyone] = {}
        # Held while a recording of everyone begins: there is one at most.
        self._opening = threading.Lock()
        # Of descendants that could not be sampled: how often that was tried.
        self._tried: dict[tuple[str, TargetKey], int] = {}

    def all(self) -> list[SampledTarget]:
        """Return the processes."""
        with self._lock:
            return list(self._targets.values())

    def running(self) -> list[tuple[SampledTarget, Running]]:
        """Return what is recorded of them."""
        return [(target, running) for target in self.all() for running in list(target.running.values())]

    def start(
        self,
        target: Target,
        specs: Sequence[SessionSpec],
        name: str,
        duration_s: float = 0.0,
        group: str = "",
        *,
        goes_if_empty: bool = False,
        beside: bool = False,
    ) -> list[Session]:
        """Begin to sample a process: all sessions or none.

        Args:
            target: the process.
            specs: of samples.
            name: of the session.
            duration_s: after which they are ended if their client has not done it; 0.0: never.
            group: the one of an attach that starts others too, "" for a new one.
            goes_if_empty: nobody named the process: where it ends before any sample, nothing is left of its sessions.
            beside: it is of no account that the process is recorded in slices already.

        Raises:
            CollectorRefused: it is recorded in slices, and is to be once more.
            ExecdError: nothing of it runs.
        """
        try:
            while True:
                sampled = self._entered(target)
                with sampled.lock:
                    if sampled.over is not None:
                        self._end_what_is_over(sampled)
                    if sampled.gone:
                        continue  # its last session has just ended
                    if not beside:
                        sampled.check_unkept(specs)
                    sessions = self._recorder.start_all(sampled, specs, name, group, is_part=bool(group))
                    sampled.bound(sessions, duration_s)
                    for session in sessions:
                        sampled.running[session.id].goes_if_empty = goes_if_empty
                    return sessions
        except StoreFull:
            raise
        except ExecdError:
            # What can be read of a process that ends meanwhile may look like anything.
            _check_same(target)
            raise

    def start_everyone(self, spec: SessionSpec, name: str) -> tuple[str, list[Session], list[str]]:
        """Begin to sample every Python process of this user, and those that come later.

        Returns:
            The group of the sessions, those that have begun, and why others have not.

        Raises:
            CollectorRefused: they are sampled so already.
        """
        with self._opening:
            for group in list(self._everyone):
                raise CollectorRefused(
                    f"every Python process is recorded already, by group {group}",
                    remedy=f"see it: execctl sessions; or end it first: execctl stop {group}",
                    holder=group,
                )
            opened = OpenGroup(self._recorder.new_group(), name, spec, self._clock())
            everyone = Everyone(opened, self._processes, self._start_unnamed, self._keeper)
            sessions, notes = everyone.look()
            with self._lock:
                self._everyone[opened.id] = everyone
                self._wake()
        return opened.id, sessions, notes

    def open_groups(self, wanted: Mapping[str, str]) -> list[OpenGroup]:
        """Return the groups that processes come to, of those that have the wanted labels."""
        opened = [one.opened for one in list(self._everyone.values())]
        return [one for one in opened if wanted.items() <= one.spec.labels.items()]

    def forget(self, group: str) -> bool:
        """Let no more processes come to a group; tell whether any could."""
        everyone = self._everyone.pop(group, None)
        if everyone is not None:
            everyone.end()
        return everyone is not None

    def end_late(self, groups: AbstractSet[str]) -> list[Session]:
        """End what came to groups while the processes that it came for were stopped, and return it as it ended."""
        roots = {row.session.group for _, row in self.running() if row.session.spec.children}
        late = groups - roots
        return [self._stop(target, row) for target, row in self.running() if row.session.group in late]

    def end(self, pid: int) -> list[Session]:
        """End what is recorded of a process, and return it as it ended."""
        return [self._stop(target, row) for target, row in self.running() if target.target.key.pid == pid]

    def close(self) -> None:
        """End and save all: first all samplers, and then what they have is stored, several at once."""
        with self._lock:
            self._closing = True
            self._everyone.clear()
            os.eventfd_write(self._changed, 1)
            self._told.set()
        left = self.all()
        for target in left:
            target.end_samplers()
        shares = [left[start::_WORKERS] for start in range(min(_WORKERS, len(left)))]
        workers = [threading.Thread(target=self._guarded, args=(self._finish, one), daemon=True) for one in shares]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _finish(self, targets: Sequence[SampledTarget]) -> None:
        with ExitStack() as held:
            for target in targets:
                held.enter_context(target.lock)
            rows = [(target, running) for target in targets for running in list(target.running.values())]
            self._recorder.stop_together(rows)
            for target in targets:
                self._drop(target)

    def _start_unnamed(self, target: Target, specs: Sequence[SessionSpec], name: str, group: str) -> list[Session]:
        return self.start(target, specs, name, group=group, goes_if_empty=True)

    def _keeper(self, pid: int, start_ticks: int) -> str:
        """Return the session that records a process in slices, "" where none does."""
        keys = ((one, one.target.key) for one in self.all())
        return next((one.keeper for one, key in keys if (key.pid, key.start_ticks) == (pid, start_ticks)), "")

    def _entered(self, target: Target) -> SampledTarget:
        """Return the process as one that is sampled."""
        with self._lock:
            known = self._targets.get(target.key)
        if known is not None:
            return known
        interpreter = self._processes.interpreter(target.key.pid)
        version = interpreter.version_text or ".".join(map(str, interpreter.version))
        fresh = SampledTarget(replace(target, python_version=version), interpreter, self._clock, self._crowd)
        with self._lock:
            if self._closing:
                raise ExecdError("execd is about to end", remedy="try again: the next one starts by itself")
            known = self._targets.setdefault(target.key, fresh)
            self._wake()
        if known is not fresh:
            fresh.close()
        return known

    def _wake(self) -> None:
        """Have the threads run, and look at what is due; the caller holds the lock."""
        os.eventfd_write(self._changed, 1)
        for name, run in (("execd-samples", self._look), ("execd-sampled", self._keep)):
            if name not in self._threads:
                self._threads[name] = threading.Thread(target=run, name=name, args=(name,), daemon=True)
                self._threads[name].start()

    def _goes_on(self, name: str) -> bool:
        """Whether a thread is needed; where it is not it ends, and the next start makes another one."""
        with self._lock:
            if self._closing or not (self._targets or self._everyone):
                del self._threads[name]
                return False
            return True

    def _look(self, name: str) -> None:
        """Take over what is met, until nothing is sampled. Here nothing may wait for the disk."""
        while self._goes_on(name):
            self._crowd.relieve()
            for target in self._due([target for target in self.all() if target.over is None]):
                target.looked_at, target.has_news = time.monotonic(), False
                # All at one instant: so there is one to wake up for.
                target.due = (target.looked_at // BEAT_S + 1) * BEAT_S
                self._guarded(SampledTarget.look, target)
                if target.has_ends:
                    self._told.set()

    def _keep(self, name: str) -> None:
        """Do what the disk may keep waiting: ends as they come, and all else each beat."""
        due = 0.0
        while self._goes_on(name):
            self._end_all_that_is_over()
            if time.monotonic() >= due:
                due = time.monotonic() + BEAT_S
                self._keep_all()
            self._told.wait(max(due - time.monotonic(), 0.0))

    def _keep_all(self) -> None:
        for target in self.all():
            if self._closing:
                return
            self._guarded(self._store_what_is_due, target)
            self._end_all_that_is_over()
        for everyone in list(self._everyone.values()):
            self._guarded(Everyone.look, everyone)
            self._end_all_that_is_over()

    def _end_all_that_is_over(self) -> None:
        if self._told.is_set() and not self._closing:
            self._told.clear()
            for target in self.all():
                if target.has_ends:
                    self._guarded(self._end_what_is_over, target)

    def _end_what_is_over(self, target: SampledTarget) -> None:
        with target.lock:
            if target.gone:
                return
            if target.over is not None:
                self._recorder.fail(target, target.over)
            for running in list(target.running.values()):
                if running.is_over:
                    self._recorder.stop(target, running)
            if not target.running:
                self._drop(target)

    def _store_what_is_due(self, target: SampledTarget) -> None:
        """Store checkpoints, follow descendants, and let go of a process that nobody records any more."""
        self._end_what_is_over(target)
        for running in list(target.running.values()):
            self._recorder.checkpoint(target, running)
            if running.session.spec.children:
                start_below(self, target, running, self._tried)

    def _due(self, targets: Sequence[SampledTarget]) -> list[SampledTarget]:
        """Wait until there is something to do, and return the processes that it is to be done for."""
        poller, told, now = select.poll(), {}, time.monotonic()
        poller.register(self._changed, select.POLLIN)
        due = min([now + BEAT_S, *(target.due for target in targets)])
        for target in targets:
            if target.has_news and _rested_at(target) > now:
                due = min(due, _rested_at(target))
                continue
            for news in target.news():
                poller.register(news, select.POLLIN)
                told[news] = target
        ready = {descriptor for descriptor, _ in poller.poll(max(due - now, 0.0) * 1000)}
        if self._changed in ready:
            os.eventfd_read(self._changed)
        for descriptor in ready & told.keys():
            told[descriptor].has_news = True
        now = time.monotonic()
        return [one for one in targets if one.due <= now or (one.has_news and _rested_at(one) <= now)]

    def _guarded(self, do: Callable[[_Looked], object], looked: _Looked) -> None:
        try:
            do(looked)
        except Exception:  # noqa: BLE001 - it is logged, and the others go on
            _LOG.exception("what is sampled could not be looked at, or stored")

    def _stop(self, target: SampledTarget, running: Running) -> Session:
        with target.lock:
            return self._recorder.stop(target, running)

    def _drop(self, target: SampledTarget) -> None:
        with target.lock:
            target.close()
        with self._lock:
            self._targets.pop(target.target.key, None)


def _rested_at(target: SampledTarget) -> float:
    return target.looked_at + _REST_S


def _check_same(target: Target) -> None:
    """Raise TargetGone where a process has ended since it was found, or executes another program.

    NotSupported where it is a thread of the kernel.
    """
    pid = target.key.pid
    access.require_program(pid)
    if not has_memory(pid) or (now := look_at(pid)).key != target.key:
        raise TargetGone(f"process {pid} ended before it was looked at", pid=pid)
    if now.executable != target.executable:
        raise TargetGone(f"process {pid} executes another program now", pid=pid)
