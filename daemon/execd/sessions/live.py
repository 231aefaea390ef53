"""LiveTarget: a target with our agent in it, and the sessions that run there.

Two sessions of one collector with the same options share what is armed in the target; each has its own baseline.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from execd.attach.descendants import has_memory
from execd.attach.headroom import memory_headroom
from execd.attach.process_memory import with_process_memory
from execd.attach.program import RunningProgram
from execd.attach.seat import Seat, seat_of
from execd.attach.table import read_table, table_limit
from execd.errors import AgentFailed, AgentSilent, AttachBusy, ExecdError, TargetGone
from execd.model.collector import CENSUS, MEMORY, TRACE
from execd.model.difference import gained
from execd.model.lines.names import version_of
from execd.sessions import native
from execd.sessions.armed import CLIENT_GRACE_S, Armed, Running, check_shared, header_of
from execd.sessions.budget import CpuWindow, memory_breach, told_budget
from execd.sessions.compiling import Compiler
from execd.sessions.overhead import gauge_of, hear, limit_of
from execd.sessions.program_end import is_gone
from execd.sessions.residue import residue
from execd.sessions.sources import TargetSources
from execd.sessions.standstill import standstill
from execd.sessions.state import Event, after
from execd.sessions.stream.feed import MOST_TAKEN, Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd.attach.attacher import AgentLink
    from execd.attach.channel import Reply
    from execd.model.profile import Header, Profile
    from execd.model.session import Session, SessionSpec
    from execd.model.target import Target
    from execd.sessions.native import NativeTables
    from execd.store.store import Store

# A busy target answers within milliseconds; one whose GIL is held by C code may take seconds.
REQUEST_TIMEOUT_S = 10.0
# To look at every object or traced block; other targets' agents wait 30 s for their daemon, which waits here.
SLOW_TIMEOUT_S = 20.0
# Others wait for their turn; a target that has not answered is asked again once it says something.
PING_TIMEOUT_S = 1.0
# An agent holds as many events as so many answers have; meanwhile there are new ones.
_MOST_FETCHES = 5


class LiveTarget:
    """One attachment, from the agent's hello to its end.

    Its lock orders everything that is done to the target; the channel's own lock orders the bytes.
    """

    def __init__(self, target: Target, link: AgentLink, clock: Callable[[], float]) -> None:
        self.target = target
        self.link = link
        self.lock = threading.RLock()
        self.running: dict[str, Running] = {}
        self.gone = False
        self.silent = False
        self._is_deaf = False
        # The agent came for sessions of a limited time, and nobody has asked for more since.
        self.leaves_when_unused = False
        self._unused_since = math.inf
        # When the last collector was armed, time.perf_counter_ns(); without one, when the agent answered.
        self.armed_ns = time.perf_counter_ns()
        self._clock = clock
        self._armed: dict[str, Armed] = {}
        self._cpu = CpuWindow(time.monotonic())
        # Where calls are recorded.
        self._seat: Seat | None = None
        # Made when a profile first needs one.
        self._sources: TargetSources | None = None
        # Opened while the agent answers: it is the agent's program. All that follows is asked of that agent.
        self._program = RunningProgram(target.key.pid)

    @property
    def collectors(self) -> Sequence[str]:
        """What the agent can record."""
        return self.link.hello.collectors

    def arm(self, spec: SessionSpec) -> Armed:
        """Switch a collector on, or return what is on already with the same options.

        Raises:
            CollectorRefused: the target or another session is in the way.
            TargetGone, AgentFailed: it cannot be reached.
        """
        armed = self._armed.get(spec.collector)
        if armed is None:
            armed = self._armed[spec.collector] = self._switch_on(spec)
            self.armed_ns = time.perf_counter_ns()
        else:
            check_shared(armed, spec.options, self.target.key.pid)
        return armed

    def begin(self, session: Session, armed: Armed) -> Session:
        """Let a session stand on what is armed and return it as it runs."""
        baseline = None
        if armed.feed is not None:
            self.fetch_events()
            armed.feed.open(session.id, self._clock() if armed.users else armed.since)
        elif armed.users:
            baseline = self.taken(Running(session, armed, None), "mark")()
        armed.users.add(session.id)
        state = after(session.state, Event.ARMED)
        ready = replace(session, state=state, form=armed.form, caveats=armed.caveats)
        self.running[session.id] = Running(ready, armed, baseline)
        return ready

    def bound(self, sessions: Sequence[Session], duration_s: float, *, came_for_them: bool) -> None:
        """Let sessions end by themselves some time after `duration_s`, 0.0 for never, and the agent with them.

        Args:
            sessions: just begun.
            duration_s: how long their client means to record.
            came_for_them: the agent was not there before.
        """
        self.leaves_when_unused = duration_s > 0 and (came_for_them or self.leaves_when_unused)
        if duration_s > 0:
            for session in sessions:
                self.running[session.id].ends_at = time.monotonic() + duration_s + CLIENT_GRACE_S

    def is_abandoned(self) -> bool:
        """Whether the sessions that the agent came for have ended, and their client has not taken it out in time."""
        if self.running or not self.leaves_when_unused:
            self._unused_since = math.inf
            return False
        self._unused_since = min(self._unused_since, time.monotonic())
        return time.monotonic() >= self._unused_since + CLIENT_GRACE_S

    def disarm_unused(self, armed: Armed) -> None:
        """Switch a collector off that no session came to stand on."""
        if not armed.users:
            self._let_go(armed)
            self.request("stop", session=armed.key)

    def profile(self, running: Running) -> Profile:
        """Return what a session has recorded until now."""
        return self.taken(running)()

    def taken(self, running: Running, operation: str = "snapshot") -> Callable[[], Profile]:
        """Take what a session has recorded until now, and return what makes a profile of it, without the lock."""
        armed = running.armed
        if armed.feed is not None:
            self._fetch_rest(armed.feed, armed, operation)
            return armed.feed.taken(running.session.id, self._header(running))
        if armed.native is not None:
            return self._taken_here(running, armed.native, operation)
        return partial(gained, self._read(running, operation), running.baseline)

    def stop(self, running: Running) -> Profile:
        """Return the last profile of a session, and disarm its collector if nobody else uses it."""
        armed = running.armed
        is_last = armed.users == {running.session.id}
        profile = self.taken(running, "stop" if is_last else "snapshot")()
        self.forget(running)
        return profile

    def forget(self, running: Running) -> None:
        """Take a session off the books without asking the target."""
        self.running.pop(running.session.id, None)
        if running.armed.feed is not None:
            running.armed.feed.close(running.session.id)
        running.armed.users.discard(running.session.id)
        if not running.armed.users:
            self._let_go(running.armed)

    def ping(self, timeout_s: float = PING_TIMEOUT_S) -> None:
        """Tell the agent that we are there, let its collectors look around, and see what they take.

        A session that takes more than it may is marked with the breach; the caller ends it.
        """
        tables = {armed.key: armed.native for armed in self._armed.values() if armed.native is not None}
        wanted = [key for key, one in tables.items() if one.wants_facts]
        measures = any(one.gauge is not None and one.gauge.measures for one in self._armed.values())
        with self._seat.taken() if self._seat and measures else contextlib.nullcontext():
            facts = self.request("ping", timeout_s=timeout_s, facts=wanted).facts
        parts = map(facts.get, ("memory_bytes", "broken", "facts"))
        used, broken, told = (said if isinstance(said, dict) else {} for said in parts)
        for key in filter(told.__contains__, wanted):
            tables[key].hear(told[key])
        breach = self._cpu.breach(time.monotonic(), _count(facts.get("cpu_ns")))
        for armed in self._armed.values():
            armed.memory_bytes = _count(used.get(armed.key))
            hear(armed, facts.get("costs"))
        for running in self.running.values():
            feed, said = running.armed.feed, str(broken.get(running.armed.key, ""))[:500]
            ended = said if feed is None else feed.end
            ended = running.breach or ended or breach
            running.breach = ended or memory_breach(running.armed.memory_bytes, self._headroom())

    def feeds(self) -> list[Feed]:
        """Return the feeds of what is armed."""
        return [armed.feed for armed in list(self._armed.values()) if armed.feed is not None]

    def fetch_events(self) -> int:
        """Take over the events that there are by now, at most as many as one answer has, and return their number.

        The agent paces it, so that it keeps its CPU budget: there may be events and none of them be given.
        """
        return sum(
            self._fetch(armed.feed, armed, "take", PING_TIMEOUT_S, received=armed.feed.received, paced=True)
            for armed in self._armed.values()
            if armed.feed is not None
        )

    def events(self, running: Running) -> Profile:
        """Return the events of a session that are here, without asking the target."""
        feed = running.armed.feed
        if feed is None:
            raise ExecdError(f"session {running.session.id} has no events")
        return feed.profile(running.session.id, self._header(running))

    def kept(self, running: Running) -> Profile | None:
        """Return what of a session is here, or can be read from here; of others only the target has it."""
        if running.armed.native is not None:
            last = running.armed.native.last(self._header(running), is_gone=self._program.has_ended)
            return gained(last(), running.baseline)
        return None if running.armed.feed is None else self.events(running)

    def sources_in(self, store: Store) -> TargetSources:
        """Return what knows the sources of the target, and keeps them in a store."""
        if self._sources is None:
            compiler = Compiler(self.link.channel, version_of(self.target.python_version))
            self._sources = TargetSources(self.target.key.pid, store, compiler)
        return self._sources

    def detach(self) -> tuple[str, ...]:
        """Take the agent out and return what stays, one sentence each."""
        try:
            return residue(self.request("detach").facts)
        except TargetGone:
            return ()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the link; the agent removes itself when it sees that."""
        self.gone = True
        for armed in list(self._armed.values()):
            self._let_go(armed)
        if self._sources is not None:
            self._sources.close()
        self.link.close()
        self._program.close()

    def ended(self) -> bool:
        """Whether the process is no more."""
        pid = self.target.key.pid
        return is_gone(self.link.pidfd, lambda: self._program.has_ended and has_memory(pid))

    def left(self) -> ExecdError:
        """Return the error that says why the agent is gone from a process that goes on, as the same program or not."""
        pid = self.target.key.pid
        if self._program.has_ended:
            return TargetGone(f"process {pid} executes another program now", pid=pid)
        why = self.link.channel.breach or f"the agent left process {pid}, which goes on"
        return AgentFailed(why, pid=pid)

    def request(self, operation: str, timeout_s: float = REQUEST_TIMEOUT_S, **arguments: object) -> Reply:
        """Ask the agent; the caller holds the lock. Raises as the channel does; see `left`."""
        # Of one that was silent for long each further request would take as long: a detach of many sessions minutes.
        # One that has said something since gets its time.
        is_deaf = self._is_deaf and not self.link.channel.has_news()
        waited_s = min(timeout_s, PING_TIMEOUT_S) if is_deaf else timeout_s
        still = standstill(self.target.key.pid) if waited_s > PING_TIMEOUT_S else None
        if still is not None:
            raise still
        try:
            reply = self.link.channel.request(operation, timeout_s=waited_s, **arguments)
        except AgentSilent:
            self._is_deaf = self._is_deaf or timeout_s >= REQUEST_TIMEOUT_S
            if still := standstill(self.target.key.pid, 0.0):
                raise still from None
            raise
        except TargetGone:
            # The link closes too where a target executes another program, or closes every descriptor.
            if self.gone or self.ended():
                raise
            raise self.left() from None
        self._is_deaf = False
        return reply

    def _headroom(self) -> int | None:
        return memory_headroom(self.target.key.pid)

    def _switch_on(self, spec: SessionSpec) -> Armed:
        limit_of(spec.options, self.target.python_version)
        asked_bytes = _count(spec.options.get("max_memory_bytes"))
        max_memory_bytes, notes = told_budget(self.target.key.pid, asked_bytes, self._headroom())
        core, why = native.core_for(self.link, self.target.key.pid, spec)
        asked_at = self._clock()
        try:
            reply = self.request(
                "start",
                timeout_s=SLOW_TIMEOUT_S if spec.collector == CENSUS.name else REQUEST_TIMEOUT_S,
                session=spec.collector,
                collector=spec.collector,
                options={**spec.options, "max_memory_bytes": max_memory_bytes},
                core=core,
            )
        except AgentSilent:
            # It comes to that later all the same, and then to this.
            with contextlib.suppress(ExecdError):
                self.request("stop", timeout_s=0.0, session=spec.collector)
            raise
        said = reply.facts.get("caveats")
        caveats = notes + why + (tuple(str(item)[:500] for item in said[:20]) if isinstance(said, list) else ())
        form = "native" if reply.facts.get("form") == "native" else "python"
        feed = Feed(spec.options, self.target.key.pid) if spec.collector == TRACE.name else None
        tables = native.opened(self.target.key.pid, reply.facts, spec.options, _table_limit(spec.options))
        # A census is over when it has begun.
        since = asked_at if spec.collector == CENSUS.name else self._clock()
        armed = Armed(
            spec.collector, spec.collector, spec.options, form, caveats, set(), since, feed=feed, native=tables
        )
        # It is armed: whatever becomes of this, it is to be ended as one that is.
        with contextlib.suppress(OSError, ExecdError):
            self._seat = seat_of(self.target.key.pid, reply.facts)
        armed.gauge = gauge_of(armed, self.target, self._seat.agent if self._seat else None)
        return armed

    def _let_go(self, armed: Armed) -> None:
        self._armed.pop(armed.collector, None)
        if armed.native is not None:
            armed.native.close()

    def _fetch(
        self, feed: Feed, armed: Armed, operation: str, timeout_s: float = REQUEST_TIMEOUT_S, **arguments: object
    ) -> int:
        limit_bytes = _table_limit(armed.options)
        self.link.channel.bulk_limit = limit_bytes // 2
        reply = self.request(operation, timeout_s=timeout_s, session=armed.key, **arguments)
        count = feed.accept(reply.bulk, self.target.key.pid, limit_bytes)
        for running in self.running.values():
            if feed.is_complete and running.armed is armed:
                running.breach = feed.end
        return count

    def _fetch_rest(self, feed: Feed, armed: Armed, operation: str) -> None:
        """Take over what there is, and with "stop" all that there will be."""
        if operation == "stop":
            self._fetch(feed, armed, "stop")
            return
        for _ in range(_MOST_FETCHES):
            if self._fetch(feed, armed, "take", received=feed.received) < MOST_TAKEN:
                return

    def _taken_here(self, running: Running, tables: NativeTables, operation: str) -> Callable[[], Profile]:
        if operation == "stop":
            if standstill(self.target.key.pid) is None:
                reply = self.request("stop", session=running.armed.key, reads_tables=True)
                tables.hear(reply.facts.get("facts"), is_last=True)
            else:
                # The agent comes to that when its process goes on.
                with contextlib.suppress(AgentSilent):
                    self.request("stop", timeout_s=0.0, session=running.armed.key, reads_tables=True)
            last = tables.last(self._header(running))
            return lambda: gained(last(), running.baseline)
        try:
            taken = tables.taken(self._header(running))
        except AttachBusy:
            return partial(gained, self._read(running, operation), running.baseline)
        return lambda: gained(taken(), running.baseline)

    def _read(self, running: Running, operation: str) -> Profile:
        """Return what the collector has recorded since it was armed, by whichever session that was."""
        limit_bytes = _table_limit(running.armed.options)
        # Read into arrays, it is there twice.
        self.link.channel.bulk_limit = limit_bytes // 2
        is_slow = running.armed.collector == MEMORY.name
        timeout_s = SLOW_TIMEOUT_S if is_slow else REQUEST_TIMEOUT_S
        reply = self.request(operation, timeout_s=timeout_s, session=running.armed.key)
        profile = read_table(reply.bulk, self._header(running), self.target.key.pid, limit_bytes)
        return with_process_memory(profile) if running.armed.collector == MEMORY.name else profile

    def _header(self, running: Running) -> Header:
        return header_of(self.target, running, self._clock())


def _table_limit(options: Mapping[str, object]) -> int:
    return table_limit(_count(options.get("max_memory_bytes")))


def _count(value: object) -> int:
    """Return a number that a target, or a user, has sent, 0 where it is none."""
    return value if isinstance(value, int) and 0 < value < 1 << 63 else 0
