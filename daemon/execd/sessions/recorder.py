"""Recorder: starts, stops and checkpoints sessions on live targets, and keeps the store in step with them."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import ExecdError, NotSupported, ProfileCorrupt, StoreFull
from execd.model.codec import encode
from execd.sessions import sums
from execd.sessions.empty import removed_if_empty, told_if_empty
from execd.sessions.housekeeping import tidy
from execd.sessions.state import failed, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from execd.model.profile import Profile
    from execd.model.session import Session, SessionSpec
    from execd.model.stored import Reason, StoredProfile
    from execd.sessions.armed import Running
    from execd.sessions.recorded import Recorded
    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")
# Checkpoints take at most this share of the daemon's time: where one takes long, the next comes later.
CHECKPOINT_SHARE = 0.02
# How long a profile that somebody waits for waits for the sources of what it is of.
SOURCES_S = 5.0


class Recorder:
    """The sessions of all targets, as they are stored. Callers hold the lock of the target where one ends or begins."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._changed = threading.Condition()
        # Ends that the disk did not take: shown as they are, stored when it takes them.
        self._unstored: dict[str, Session] = {}
        self._adding = threading.Lock()
        # An earlier daemon ended before it could.
        for identifier in store.recovery.interrupted:
            session = store.session(identifier)
            if session.spec.into:
                store.save_session(self._added(session))

    def start_all(
        self, live: Recorded, specs: Sequence[SessionSpec], name: str, group: str = "", *, is_part: bool = False
    ) -> list[Session]:
        """Start sessions, one group, all or none.

        Args:
            live: the target.
            specs: what to start.
            name: of the session; with several, each gets its collector's name added.
            group: that they come to, "" for a new one.
            is_part: there are others of the same request.
        """
        if not specs:
            return []
        # Made when the first collector is armed: what waits for the disk must not keep a target waiting.
        group_of = functools.cache(lambda: group or self._store.new_group())
        started: list[Session] = []
        try:
            for spec in specs:
                own_name = name if (len(specs) == 1 and not is_part) or not name else f"{name}-{spec.collector}"
                started.append(self._start(live, spec, group_of, own_name))
        except ExecdError:
            for session in started:
                self.stop(live, live.running[session.id])
            raise
        return started

    def new_group(self) -> str:
        """Return a group that sessions are to come to, one after the other."""
        return self._store.new_group()

    def stop(self, live: Recorded, running: Running, patience_s: float = SOURCES_S) -> Session:
        """Stop one session and return it as it is stored now; another operator may have stopped it meanwhile.

        Args:
            live: its target.
            running: the session.
            patience_s: how long its last profile waits for sources; nothing else may be waiting then.
        """
        if running.session.id not in live.running:
            # One that has an end here has none in the store.
            return running.session if running.session.ended else self._store.session(running.session.id)
        try:
            session = self._stored(live, running, live.stop(running), patience_s)
        except ExecdError as error:
            session = self._broken(live, running, error)
        self._end(session)
        return self.as_it_is(self._store.session(session.id))

    def stop_all(self, live: Recorded, patience_s: float, turn: AbstractContextManager[object] | None = None) -> None:
        """Stop every session of a program that waits at its end: what they have is here before anything is stored.

        Args:
            live: the target.
            patience_s: how long it may be asked about its sources, without regard to its own work.
            turn: entered to store, where many programs may end at once: of each what it has is taken before.
        """
        deadline = time.monotonic() + patience_s
        taken = []
        for running in list(live.running.values()):
            try:
                taken.append((running, live.stop(running)))
            except ExecdError as error:
                self._end(self._broken(live, running, error))
        if sources := live.sources_in(self._store):
            sources.hurry()
        with turn or nullcontext():
            for running, profile in taken:
                self._end(self._stored_or_broken(live, running, profile, max(deadline - time.monotonic(), 0.0)))

    def stop_together(self, rows: Sequence[tuple[Recorded, Running]]) -> None:
        """Stop sessions of targets whose locks the caller holds; what they have, without sources, is stored at once."""
        taken = []
        for live, running in rows:
            if running.session.spec.into:
                # What it is added to is one for all of them.
                self.stop(live, running)
                continue
            try:
                profile = live.stop(running)
                taken.append((live, running, profile, self._stopped(running, profile)))
            except ExecdError as error:
                self._end(self._broken(live, running, error))
        try:
            self._store.end_sessions([(session, profile) for _, _, profile, session in taken])
            self._tell()
        except ExecdError:
            # One of them may be the reason.
            for live, running, profile, _ in taken:
                self._end(self._stored_or_broken(live, running, profile, 0.0))

    def fail(self, live: Recorded, error: ExecdError) -> None:
        """End every session of a target that cannot be reached any more: with what was stored until then."""
        for running in list(live.running.values()):
            profile = self._keep_rest(live, running)
            nothing = told_if_empty(profile) if profile is not None else ""
            live.forget(running)
            ended = failed(running.session, error, self._clock(), nothing)
            if nothing and running.goes_if_empty and removed_if_empty(self._store, ended.id):
                running.session = ended
                self._tell()
            else:
                self._end(ended)

    def store_checkpoint(self, live: Recorded, running: Running, patience_s: float = SOURCES_S) -> StoredProfile | None:
        """Store what a session has recorded until now in place of its last checkpoint; None where it has ended."""
        return self.store_profile(live, running, "checkpoint", "", patience_s)

    def store_profile(
        self, live: Recorded, running: Running, reason: Reason, name: str = "", patience_s: float = SOURCES_S
    ) -> StoredProfile | None:
        """Store what a session has recorded until now; None where it has ended.

        The target's lock is held while the target is asked, and while it is stored: not for the work in between, which
        takes a second for a full trace, nor while sources are waited for. Others stop their sessions meanwhile.

        Args:
            live: its target.
            running: the session.
            reason: why it is stored.
            name: what to call the profile, or "".
            patience_s: how long to wait for sources, which somebody means to see.
        """
        with live.lock:
            if running.session.id not in live.running:
                return None
            taken = live.taken(running)
        profile = self._sourced(live, taken(), patience_s)
        encoded = encode(profile)
        with live.lock:
            if running.session.id not in live.running:
                return None
            session = running.session.id
            return self._store.add_profile(profile, session=session, reason=reason, name=name, encoded=encoded)

    def checkpoint(self, live: Recorded, running: Running) -> None:
        """Store a checkpoint where one is due. A session whose profile cannot be stored ends."""
        began = time.monotonic()
        with live.lock:
            if began < running.checkpoint_due:
                return
            # Others who come meanwhile leave it to us.
            running.checkpoint_due = math.inf
        due = began
        try:
            self.store_checkpoint(live, running, 0.0)
            ended = time.monotonic()
            due = ended + max(running.armed.checkpoint_s, (ended - began) / CHECKPOINT_SHARE)
        except (StoreFull, ProfileCorrupt) as error:
            with live.lock:
                self._end_early(live, running, error)
        finally:
            running.checkpoint_due = due

    def as_it_is(self, session: Session) -> Session:
        """Return a stored session as it is now: it may have ended while the disk took nothing."""
        end = self._unstored.get(session.id)
        return session if end is None else replace(end, latest_profile=session.latest_profile)

    def store_ends(self) -> None:
        """Store the ends that the disk did not take before."""
        for session in list(self._unstored.values()):
            self._end(session)

    def wait_for_change(self, timeout_s: float) -> None:
        """Sleep until a session changes, at most so long."""
        with self._changed:
            self._changed.wait(timeout_s)

    def _start(self, live: Recorded, spec: SessionSpec, group: Callable[[], str], name: str) -> Session:
        known = live.collectors
        if spec.collector not in known:
            raise NotSupported(f"there is no collector {spec.collector!r}", remedy=f"choose from: {', '.join(known)}")
        armed = live.arm(spec)
        if armed.feed is not None:
            # Read while they are what runs, and not when the trace ends.
            armed.feed.met = lambda batch: self._sourced(live, batch, 0.0)
        session: Session | None = None
        try:
            session = self._store.add_session(live.target, spec, name=name, group=group(), started_at=self._clock())
            session = live.begin(session, armed)
            self._save(session)
        except ExecdError:
            if session is not None and session.id in live.running:
                live.forget(live.running[session.id])
            live.disarm_unused(armed)
            raise
        return session

    def _end_early(self, live: Recorded, running: Running, error: ExecdError) -> None:
        """End a session that goes on in its target, with what was stored until now."""
        if running.session.id in live.running:
            live.forget(running)
            self._end(failed(running.session, error, self._clock()))
            live.disarm_unused(running.armed)

    def _keep_rest(self, live: Recorded, running: Running) -> Profile | None:
        """Store what is here, whatever became of the target, and return it: the events of a trace, samples."""
        if running.session.id not in live.running:
            return None
        profile = None
        try:
            profile = live.kept(running)
            if profile is not None and not (running.goes_if_empty and told_if_empty(profile)):
                sourced = self._sourced(live, profile, 0.0)
                self._store.add_profile(sourced, session=running.session.id, reason="final")
        except ExecdError as error:
            facts = {"session": running.session.id, "why": error.message}
            _LOG.warning("what a session had could not be stored", extra={"facts": facts})
        return profile

    def _stored(self, live: Recorded, running: Running, last: Profile, patience_s: float) -> Session:
        """Store the last profile of a session, and return it as it has ended."""
        profile = self._sourced(live, last, patience_s)
        self._store.add_profile(profile, session=running.session.id, reason="final")
        session = self._stopped(running, profile)
        if running.armed.feed is not None:
            # A trace is shown as it comes: what its end alone tells is told with that.
            session = replace(session, caveats=profile.header.caveats)
        tidy(self._store)
        return session

    def _stopped(self, running: Running, profile: Profile) -> Session:
        return stopped(running.session, self._clock(), running.breach or told_if_empty(profile))

    def _stored_or_broken(self, live: Recorded, running: Running, last: Profile, patience_s: float) -> Session:
        try:
            return self._stored(live, running, last, patience_s)
        except ExecdError as error:
            return self._broken(live, running, error)

    def _broken(self, live: Recorded, running: Running, error: ExecdError) -> Session:
        """Return a session whose last profile did not come, or was not stored, as it has ended."""
        self._keep_rest(live, running)
        live.forget(running)
        return failed(running.session, error, self._clock())

    def _sourced(self, live: Recorded, profile: Profile, patience_s: float) -> Profile:
        sources = live.sources_in(self._store)
        return sources.add_to(profile, patience_s) if sources else profile

    def _added(self, session: Session) -> Session:
        """Add the last profile of a session to what it is meant for, and return the session, which tells where not."""
        if not session.spec.into:
            return session
        with self._adding:
            why = sums.add(self._store, session)
        if not why:
            return session
        told = f"its profile was not added to {session.spec.into}: {why}"
        _LOG.warning("a profile was not added", extra={"facts": {"session": session.id, "why": told}})
        return replace(session, reason=f"{session.reason}; {told}" if session.reason else told)

    def _end(self, session: Session) -> None:
        try:
            self._save(self._added(session))
            self._unstored.pop(session.id, None)
        except StoreFull as full:
            if session.id not in self._unstored:
                facts = {"session": session.id, "why": full.message}
                _LOG.warning("the end of a session could not be stored", extra={"facts": facts})
            self._unstored[session.id] = session
            self._tell()

    def _save(self, session: Session) -> None:
        self._store.save_session(session)
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
