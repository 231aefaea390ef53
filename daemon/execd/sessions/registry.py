"""Registry: the owner of everything that is live. What the RPC layer asks for is done here.

Threads: RPC threads call the public methods; the pulse thread (pulse.py) calls `live_targets`, `beat` and `lose`;
those of runs and trees enter and leave targets. Each LiveTarget has a lock of its own, held while it is waited for.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import AgentSilent, ExecdError, NotFound, UsageError
from execd.model.attachment import Detachment
from execd.model.collector import SAMPLES
from execd.model.session import State
from execd.sampling.options import sampling_options
from execd.sessions import archive, selection, sums
from execd.sessions.attached import Attached
from execd.sessions.attaching import Attaching, completed, inside
from execd.sessions.memory import refuse_long_pauses
from execd.sessions.overhead import expected, of_running
from execd.sessions.processes import Processes
from execd.sessions.pulse import Pulse
from execd.sessions.recorder import Recorder
from execd.sessions.samplings import Samplings
from execd.sessions.standstill import check_can_end
from execd.sessions.subjects import Subjects
from execd.sessions.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from execd.attach.attacher import Attacher
    from execd.model.dump import Dump
    from execd.model.overhead import Overhead
    from execd.model.session import OpenGroup, Session, SessionSpec
    from execd.model.stored import StoredProfile
    from execd.model.target import Candidate, TargetKey
    from execd.sessions.armed import Running
    from execd.sessions.live import LiveTarget
    from execd.sessions.recorded import Recorded
    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")
_WATCH_S = 1.0
# Among so many sessions the last one of a process is looked for.
_LATEST = 100
# An end of the daemon must be over within 5 s, the store's and the server's share included.
_CLOSE_S = 3.0


class Registry:
    """All live targets and sessions of one daemon.

    Args:
        store: keeps sessions and profiles.
        attacher: puts agents into processes.
        clock: seconds since the epoch.
    """

    def __init__(self, store: Store, attacher: Attacher, clock: Callable[[], float]) -> None:
        self._store = store
        self._attacher = attacher
        self._clock = clock
        self._table = Attached()
        self.recorder = Recorder(store, clock)
        self._processes = Processes(attacher, self._table.keys)
        self.samplings = Samplings(self.recorder, self._processes, clock)
        self.trees = Trees(self, attacher, clock)
        self.subjects = Subjects(self, store)
        self._pulse = Pulse(self)
        self.attach = Attaching(self, store, attacher, self._table, self._processes, clock).attach

    @property
    def attached_targets(self) -> int:
        """How many targets have our agent now."""
        return len(self._table.keys())

    @property
    def running_sessions(self) -> int:
        """How many sessions record now."""
        return len(self.running())

    def candidates(self) -> list[Candidate]:
        """Return the CPython processes that this user can see, by PID."""
        return self._processes.candidates()

    def inspect(self, selector: str, *, every_check: bool = False, allow_seccomp: bool = False) -> Candidate:
        """Return one process as Processes.inspect does. Raises TargetGone, NotPermitted, NotFound, Ambiguous."""
        return self._processes.inspect(selector, every_check=every_check, allow_seccomp=allow_seccomp)

    def dump(self, selector: str, *, never_stop: bool = False, with_tasks: bool = False) -> Dump:
        """Return where the threads of a process are, as Processes.dump does."""
        return self._processes.dump(selector, never_stop=never_stop, with_tasks=with_tasks)

    def detach(self, selector: str, *, unless_used: bool = False) -> Detachment:
        """Stop the sessions of a target and take the agent out. No agent there is no error.

        Args:
            selector: a PID, a name, a session; "" the only attached target.
            unless_used: where sessions run, do nothing.

        Raises:
            AgentSilent: it stands still, and it alone has what a session recorded: all goes on.
        """
        live = self._attached(selector)
        if live is None:
            target = self._processes.find(selector)
            sampled = [] if unless_used else self.samplings.end(target.key.pid)
            return Detachment(target, tuple(sampled), was_attached=bool(sampled), residue=())
        with live.lock:
            if live.gone or (unless_used and live.running):
                return Detachment(live.target, (), was_attached=not live.gone, residue=())
            check_can_end((live, running) for running in live.running.values())
            self.trees.leave(live.target.key)
            below = self.trees.end(live.target.key)
            ended = [self.recorder.stop(live, running) for running in list(live.running.values())]
            # Samples are taken without the agent: where nobody uses that, somebody may record them still.
            ended += [] if unless_used else self.samplings.end(live.target.key.pid)
            residue = self.leave(live)
        for other in below:
            self._close_target(other)
        self._store.audit(0, "detach", live.target.key.pid, "done")
        return Detachment(live.target, tuple(ended), was_attached=True, residue=residue)

    def start(self, selector: str, specs: Sequence[SessionSpec]) -> list[Session]:
        """Start sessions on an attached target: all or none. Raises NotFound where it is not attached."""
        if specs and all(spec.collector == SAMPLES.name for spec in specs):
            sums.check_into(self._store, specs)
            return self.samplings.start(self._processes.find(self.meant(selector)), specs, "")
        live = self._attached(selector)
        if live is None:
            raise NotFound(f"no agent in {selector!r}", remedy=f"attach first: execctl attach {selector}")
        if not specs:
            raise UsageError("nothing to start was named", remedy="name at least one collector")
        sums.check_into(self._store, specs)
        with live.lock:
            begun = self.recorder.start_all(live, inside(specs), "")
            sessions = completed(self, live, begun, specs, "")
        self._pulse.look_again()
        return sessions

    def record_all(self, spec: SessionSpec, name: str) -> tuple[str, list[Session], list[str]]:
        """Sample every Python process of this user as Samplings.start_everyone does. Raises UsageError, StoreFull."""
        if spec.collector != SAMPLES.name:
            raise UsageError("every process can be sampled alone", remedy="name one process to record otherwise")
        sampling_options(spec.options)
        self._store.check_session_name(name)
        sums.check_into(self._store, [spec])
        self._store.check_room()
        return self.samplings.start_everyone(spec, name)

    def stop(self, selector: str) -> list[Session]:
        """End sessions and store their last profiles. A session that has ended is no error.

        Raises:
            AgentSilent: a process stands still that alone has what a session recorded: all go on.
        """
        selector = self.meant(selector)
        was_for_all = self.samplings.forget(selector)
        try:
            chosen = self._select(selector)
        except NotFound:
            if was_for_all:
                return []
            if not selector or selection.is_pid(selector):
                raise
            return [self.session(selector)]
        ended = []
        check_can_end(chosen)
        self.trees.stop(chosen)
        for live, running in chosen:
            with live.lock:
                ended.append(self.recorder.stop(live, running))
        return ended + self.samplings.end_late({row.session.group for _, row in chosen if row.session.spec.children})

    def snapshot(self, selector: str, name: str, *, confirmed: bool = False) -> list[StoredProfile]:
        """Store a profile of each session that goes on. Raises UsageError for a long pause that is not `confirmed`."""
        chosen = self._select(selector)
        if not confirmed:
            refuse_long_pauses(chosen)
        stored = []
        # Of a tree the root's has the name: it stands for those of the others, which follow it.
        roots = {(row.session.group, row.armed.collector) for _, row in chosen if row.session.spec.children}
        named = [
            row
            for _, row in chosen
            if row.session.spec.children or (row.session.group, row.armed.collector) not in roots
        ]
        for live, running in chosen:
            own_name = name if len(named) == 1 or not name else f"{name}-{running.armed.collector}"
            own_name = own_name if running in named else ""
            taken = self.recorder.store_profile(live, running, "snapshot", own_name)
            if taken is not None:
                stored.append(taken)
        if not stored:
            raise selection.has_ended(self.session(chosen[0][1].session.id))
        return stored

    def session(self, selector: str) -> Session:
        """Return a session by id or name; "" means the only running one."""
        if selector:
            self.recorder.store_ends()
            return self.recorder.as_it_is(self._store.session(selector))
        running = [running.session for _, running in self.running()]
        if not running:
            raise selection.none_runs("", self.sessions(running_only=False, limit=1))
        # A tree's root stands for what is below it.
        roots = {(one.group, one.spec.collector) for one in running if one.spec.children}
        top = [one for one in running if one.spec.children or (one.group, one.spec.collector) not in roots]
        return selection.only(top, "running session")

    def sessions(self, *, running_only: bool, limit: int, wanted: Mapping[str, str] | None = None) -> list[Session]:
        """Return sessions that have the wanted labels, newest first."""
        self.recorder.store_ends()
        rows = self._store.sessions(running_only=running_only, limit=limit, wanted=wanted)
        found = [self.recorder.as_it_is(one) for one in rows]
        return [one for one in found if not (running_only and one.ended)]

    def open_groups(self, wanted: Mapping[str, str]) -> list[OpenGroup]:
        """Return the groups that processes come to, of those that have the wanted labels."""
        return self.samplings.open_groups(wanted)

    def cost(self, session: Session) -> Overhead | None:
        """Return what a session costs its target of late, None where that is not known."""
        return self.costs([session]).get(session.id)

    def costs(self, sessions: Sequence[Session]) -> dict[str, Overhead]:
        """Return what those of the sessions cost their targets of late of which that is known, by their ids."""
        found = [self._table.of_session(one.id) for one in sessions if not one.ended]
        rows = [row[1] for row in found if row is not None]
        told = zip(rows, of_running(rows), strict=True)
        return {running.session.id: cost for running, cost in told if cost is not None}

    def overhead(self, selector: str) -> Overhead | None:
        """Return what a session costs its target, once its first 100 ms are over; None where that is not known."""
        running = self._table.of_session(self.session(self.meant(selector)).id)
        return None if running is None else expected(*running)

    def watch(self, selector: str, stopped: Callable[[], bool]) -> Iterator[Session]:
        """Yield a session each time it changes, at least once a second while it runs; the last one has ended."""
        session = self.session(selector)
        yield session
        while not session.ended and not stopped():
            self.recorder.wait_for_change(_WATCH_S)
            session = self._as_it_is(session)
            yield session

    def _as_it_is(self, session: Session) -> Session:
        """Return a session as it is now; of one that went with its process, for it had nothing, that it ended."""
        try:
            return self.session(session.id)
        except NotFound:
            pid, now = session.target.key.pid, self._clock()
            reason = f"process {pid} has ended; none of its code was met, and nothing is kept"
            return replace(session, state=State.TARGET_GONE, ended_at=now, reason=reason)

    def meant(self, word: str) -> str:
        """Return the session or the PID that a name means while that is live; any other word as it is."""
        running = [row.session for _, row in self.running()]
        targets = [*(one.target for one in self.live_targets()), *(one.target for one in self.samplings.all())]
        return selection.live_meaning(word, running, targets, self._store.knows)

    def running(self) -> list[tuple[Recorded, Running]]:
        """Return what records now, in targets and from outside."""
        return [*self._table.running(), *self.samplings.running()]

    def close(self) -> None:
        """Stop and save every session and detach from every target, within seconds."""
        self.trees.close()
        self._pulse.close()
        deadline = time.monotonic() + _CLOSE_S
        workers = [threading.Thread(target=self.samplings.close, daemon=True)]
        workers += [
            threading.Thread(target=self._close_target, args=(live,), daemon=True) for live in self.live_targets()
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(max(deadline - time.monotonic(), 0))

    def live_targets(self) -> list[LiveTarget]:
        """Return the targets with an agent."""
        return self._table.all()

    def look_again(self) -> None:
        """Take notice that something began to record."""
        self._pulse.look_again()

    def beat(self, live: LiveTarget) -> None:
        """Ping a target, and checkpoint its sessions where that is due.

        One that does not answer, C code holding its GIL, is not lost; it is asked again when it has said something.
        """
        try:
            with live.lock:
                if live.gone:
                    return
                is_silent = live.silent and not live.link.channel.has_news()
                if not is_silent:
                    live.ping()
                    live.silent = False
                    self._end_those_that_are_over(live)
            for running in list(live.running.values()):
                if not is_silent or running.armed.native is not None:
                    self.recorder.checkpoint(live, running)
        except AgentSilent:
            live.silent = True
        except ExecdError as error:
            self.lose(live, error)

    def _end_those_that_are_over(self, live: LiveTarget) -> None:
        for running in list(live.running.values()):
            if running.breach or running.is_over:
                self.recorder.stop(live, running, patience_s=0.0)
        if live.is_abandoned():
            self.leave(live)

    def lose(self, live: LiveTarget, error: ExecdError) -> None:
        """End what runs on a target that is gone, or whose agent is: with what was recorded until then."""
        with live.lock:
            if live.gone:
                return
            self.recorder.fail(live, error)
            self.drop(live)
        _LOG.info("a target is gone", extra={"facts": {"pid": live.target.key.pid, "why": error.message}})

    def answering(self, key: TargetKey) -> LiveTarget | None:
        """Return a target if our agent is in it: an exec of the target may have ended that an instant ago."""
        live = self._table.get(key)
        if live is not None:
            self.beat(live)
        return None if live is None or live.gone else live

    def enter(self, live: LiveTarget) -> None:
        """Take in a target with our agent."""
        self._table.enter(live)
        self._pulse.look_again()

    def leave(self, live: LiveTarget) -> tuple[str, ...]:
        """Take the agent out; the caller holds the target's lock."""
        try:
            return live.detach()
        except ExecdError as error:
            _LOG.warning("a detach failed", extra={"facts": {"pid": live.target.key.pid, "why": error.message}})
            return (f"the agent did not answer ({error.message}); it removes itself",)
        finally:
            self.drop(live)

    def drop(self, live: LiveTarget) -> None:
        """Forget a target, and let go of it."""
        if not live.gone:
            live.close()
        self._table.drop(live)
        self._pulse.look_again()

    def _select(self, selector: str) -> list[tuple[Recorded, Running]]:
        """Return the running sessions that a word means."""
        selector, rows = self.meant(selector), self.running()
        if selection.is_pid(selector):
            fitting = [(live, running) for live, running in rows if live.target.key.pid == int(selector)]
            if not fitting:
                raise selection.none_runs(selector, self.sessions(running_only=False, limit=_LATEST))
            return fitting + self.trees.below(fitting, rows)
        if selection.is_group(selector):
            first = archive.session_of(self._store, selector)
            fitting = [row for row in rows if row[1].session.group == selector]
            if not fitting:
                raise selection.has_ended(first)
            return fitting
        session = self.session(selector)
        fitting = [(live, running) for live, running in rows if running.session.id == session.id]
        if not fitting:
            raise selection.has_ended(session)
        return fitting + self.trees.below(fitting, rows)

    def _attached(self, selector: str) -> LiveTarget | None:
        """Return the attached target that a word means, None for one without agent."""
        selector, lives = self.meant(selector), self.live_targets()
        if selection.is_session(selector) or selection.is_group(selector):
            session = archive.session_of(self._store, selector)
            return next((live for live in lives if live.target.key == session.target.key), None)
        if selection.is_pid(selector):
            return next((live for live in lives if live.target.key.pid == int(selector)), None)
        return self._table.get(self._processes.find(selector).key) if selector else selection.only_attached(lives)

    def _close_target(self, live: LiveTarget) -> None:
        with live.lock:
            if live.gone:
                return
            for running in list(live.running.values()):
                self.recorder.stop(live, running, patience_s=0.0)
            self.leave(live)
