"""SampledTarget: a process whose stacks are sampled from outside, and the sessions that do so."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach import process
from execd.errors import CollectorRefused, ExecdError, TargetGone
from execd.model.collector import SAMPLES
from execd.model.profile import Header
from execd.sampling.options import sampling_options
from execd.sampling.recording import StackRecording
from execd.sessions.armed import CLIENT_GRACE_S, Armed, Running
from execd.sessions.state import Event, after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.attach.interpreter import Interpreter
    from execd.model.profile import Profile
    from execd.model.session import Session, SessionSpec
    from execd.model.target import Target
    from execd.sampling.sampler import Crowd
    from execd.store.store import Store

_STOPPED = "the process was stopped by a signal for some of the time: its threads count as waiting where they stood"
_NOT_HELD = "its threads are not held while they are read: a seccomp filter may end a process for what follows a stop"
# The profile of one that is always on holds all of its slices, and is stored less often.
_KEPT_CHECKPOINT_S = 60.0


class SampledTarget:
    """One process, from its first recording to its last; each session has a sampler of its own.

    Its lock orders what is done to its sessions, and may be held while the disk is waited for, see Recorded. `looking`
    orders what is done to its recordings; it is taken after the lock, and never held while anything is waited for.

    Args:
        target: the process.
        interpreter: in it.
        clock: seconds since the epoch.
        crowd: of all samplers.
    """

    collectors: Sequence[str] = (SAMPLES.name,)

    def __init__(self, target: Target, interpreter: Interpreter, clock: Callable[[], float], crowd: Crowd) -> None:
        self.target = target
        self.lock, self.looking = threading.RLock(), threading.RLock()
        self.running: dict[str, Running] = {}
        self.gone = False
        # What has become of the process, where nothing more can be recorded of it: its sessions are to be ended.
        self.over: ExecdError | None = None
        self._interpreter, self._clock, self._crowd = interpreter, clock, crowd
        self._recordings: dict[str, StackRecording] = {}
        # When to look next, and when that was done last, time.monotonic(); whether something has come since.
        self.due = self.looked_at = time.monotonic()
        self.has_news = False

    @property
    def keeper(self) -> str:
        """The session that records the process in slices, "" where none does."""
        rows = [row.session for row in list(self.running.values())]
        return next((one.id for one in rows if one.spec.options.get("keep_s")), "")

    def check_unkept(self, specs: Sequence[SessionSpec]) -> None:
        """Raise CollectorRefused where the process is recorded in slices, and is to be once more."""
        keeper, pid = self.keeper, self.target.key.pid
        if keeper and any(spec.options.get("keep_s") for spec in specs):
            raise CollectorRefused(
                f"process {pid} is recorded already, by session {keeper}",
                remedy=f"see it: execctl report {keeper} --last 5m; or end it first: execctl stop {keeper}",
                pid=pid,
                holder=keeper,
            )

    def arm(self, spec: SessionSpec) -> Armed:
        """Begin to sample."""
        options = sampling_options(spec.options)
        recording = StackRecording(self.target.key.pid, self._interpreter, options, self._clock, self._crowd)
        self.due = time.monotonic()
        key = f"samples-{id(recording):x}"
        with self.looking:
            self._recordings[key] = recording
        caveats = (_NOT_HELD,) if options.stopping != "never" and process.status(self.target.key.pid).seccomp else ()
        armed = Armed(key, SAMPLES.name, spec.options, "native", caveats, set(), recording.started_at)
        if options.keep_s:
            armed.checkpoint_s = _KEPT_CHECKPOINT_S
        return armed

    def begin(self, session: Session, armed: Armed) -> Session:
        """Let a session stand on its sampler and return it as it runs."""
        armed.users.add(session.id)
        ready = replace(session, state=after(session.state, Event.ARMED), form=armed.form, caveats=armed.caveats)
        self.running[session.id] = Running(ready, armed, None)
        return ready

    def bound(self, sessions: Sequence[Session], duration_s: float) -> None:
        """Let sessions end by themselves some time after `duration_s`, 0.0 for never."""
        for session in sessions if duration_s > 0 else ():
            self.running[session.id].ends_at = time.monotonic() + duration_s + CLIENT_GRACE_S

    def disarm_unused(self, armed: Armed) -> None:
        """End a sampler that no session came to stand on."""
        with self.looking:
            recording = self._recordings.pop(armed.key, None)
            if recording is not None:
                recording.close()

    def taken(self, running: Running, operation: str = "snapshot") -> Callable[[], Profile]:
        """Take what there is until now, and return what makes a profile of it."""
        del operation
        with self.looking:
            recording = self._recordings[running.armed.key]
            recording.drain()
            return recording.taken(self._header(running))

    def stop(self, running: Running) -> Profile:
        """End a session's sampler and return its profile."""
        with self.looking:
            recording = self._recordings[running.armed.key]
            recording.close()
            taken = recording.taken(self._header(running))
        profile = taken()
        self.forget(running)
        return profile

    def forget(self, running: Running) -> None:
        """Take a session off the books, and end its sampler."""
        with self.looking:
            self.running.pop(running.session.id, None)
            self.disarm_unused(running.armed)

    def recording(self, running: Running) -> StackRecording:
        """Return what a session that runs stands on."""
        return self._recordings[running.armed.key]

    def kept(self, running: Running) -> Profile | None:
        """Return what a session has, whatever became of its process."""
        with self.looking:
            recording = self._recordings.get(running.armed.key)
            if recording is None:
                return None
            recording.close()
            taken = recording.taken(self._header(running))
        return taken()

    def sources_in(self, store: Store) -> None:
        """Return nothing: reports of samples show no sources."""
        del store

    def look(self) -> None:
        """Take over what samplers have met, and end those whose time is over; all where its process is.

        Where somebody is at its recordings this waits for the next look: they may be at a sampler whose read does not
        come back, and other processes are to be looked at.
        """
        if not self.looking.acquire(blocking=False):
            return
        try:
            if not self.gone and self.over is None:
                self._look()
        except ExecdError as error:
            self.over = error
            self.end_samplers()
        finally:
            self.looking.release()

    @property
    def has_ends(self) -> bool:
        """Whether sessions are to be ended."""
        return self.over is not None or any(running.is_over for running in list(self.running.values()))

    def end_samplers(self) -> None:
        """Let no session record any more; each has all that it met until now."""
        with self.looking:
            for recording in self._recordings.values():
                recording.close()

    def _look(self) -> None:
        pid = self.target.key.pid
        if any(recording.ended for recording in self._recordings.values()):
            raise TargetGone(f"process {pid} has ended", pid=pid)
        if any(recording.replaced for recording in self._recordings.values()):
            raise TargetGone(f"process {pid} executes another program now", pid=pid)
        over = {running.armed.key for running in list(self.running.values()) if running.is_over}
        for key, recording in self._recordings.items():
            if key in over:
                recording.close()
            else:
                recording.drain()
        # One that has moved goes on; where it was stopped after that, the next look says so.
        if not any(recording.moved for recording in self._recordings.values()) and process.status(pid).state == "T":
            for running in list(self.running.values()):
                running.notes = (_STOPPED,)

    def news(self) -> list[int]:
        """Return descriptors that are readable while there are code objects whose names should be read soon."""
        return [recording.news for recording in list(self._recordings.values())]

    def close(self) -> None:
        """Let go of the process."""
        with self.looking:
            self.gone = True
            self.end_samplers()
            self._recordings.clear()

    def _header(self, running: Running) -> Header:
        session, armed = running.session, running.armed
        return Header(
            collector=armed.collector,
            form=armed.form,
            session=session.id,
            pid=self.target.key.pid,
            command_line=self.target.command_line,
            python_version=self.target.python_version,
            started_at=armed.since,
            ended_at=self._clock(),
            options=armed.options,
            caveats=(*([running.breach] if running.breach else []), *running.notes, *armed.caveats),
        )
