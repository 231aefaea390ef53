"""Tree: a process that is recorded with all its descendants, those that it has and those that come later.

A forked child comes by itself, through the door of its parent's agent, before it runs any code of its own. All others,
those that were there before and those that execute an interpreter, are looked for in /proc and attached to. Each is a
target like any other, with sessions in the group of the root's.

Threads: one of the tree, which waits at its doors and looks around; and one a process, which waits for that one's end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from execd.attach.arrival import linked
from execd.attach.descendants import has_memory
from execd.attach.door import Door, wait_at
from execd.attach.scan import look_at
from execd.errors import ExecdError, TargetGone, UsageError
from execd.sessions.attached import come
from execd.sessions.first_line import armed_at_the_first_line
from execd.sessions.lateness import told_late
from execd.sessions.live import REQUEST_TIMEOUT_S, LiveTarget
from execd.sessions.missed import Missed
from execd.sessions.program_end import SOURCES_S, ends_by_itself, settled
from execd.sessions.recordings import without
from execd.sessions.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from execd.attach.attacher import AgentLink, Attacher
    from execd.attach.door import Arrival
    from execd.model.session import SessionSpec
    from execd.model.target import TargetKey
    from execd.sessions.recordings import Recording
    from execd.sessions.registry import Registry

_LOG = logging.getLogger("execd.sessions")
METHOD = "a fork"
# In one tree at once; those beyond go on unrecorded.
MOST_PROCESSES = 200
# Of those that come, or are attached to, at once: a storm of short children must not starve the other targets.
_AT_ONCE = 8
_BOOKS_AT_ONCE = 2
_TIMEOUT_S = 5.0
# Where there are too many open files or threads, until it is tried again.
_PAUSE_S = 0.1
_WAITED = "recorded from some time after its fork on: execd took longer than the 2 s that a child waits for it"


class Tree:
    """One root, and what is below it; there until nothing is recorded of it any more, or nobody is left.

    Args:
        registry: gets the targets, and has the recorder.
        attacher: puts agents into those that do not come by themselves.
        root: the process that was named, with our agent; the caller holds its lock. What is recorded of it is told by
            `record`, and who comes waits for that.
        nonce: what the hellos of forked children are to hold.
        clock: seconds since the epoch.
        start_s: how long a descendant that executes an interpreter may take to come by itself, 0.0 where none does.

    Raises:
        ExecdError: its agent cannot follow.
    """

    def __init__(
        self,
        registry: Registry,
        attacher: Attacher,
        root: LiveTarget,
        nonce: str,
        clock: Callable[[], float],
        start_s: float,
    ) -> None:
        self._registry = registry
        self._attacher = attacher
        self.root = root
        self._nonce = nonce
        self._clock = clock
        self._lock = threading.RLock()
        self._recordings: dict[str, Recording] = {}
        self._members: dict[TargetKey, LiveTarget] = {root.target.key: root}
        # Children that are at a door, or were just let in.
        self._coming: set[int] = set()
        # Those that were let go of by their own name: they are not come back to.
        self._left: set[TargetKey] = set()
        self._missed = Missed()
        self._entering = threading.Semaphore(_AT_ONCE)
        # One helper is warm; to start another takes longer than to wait for that one.
        self._attaching = threading.Lock()
        # Children wait until they are armed, and at their end until it is here; not for our books.
        self._booking = threading.Semaphore(_BOOKS_AT_ONCE)
        self._search = Search(root.target.key.pid, start_s)
        self._doors = [self._door(root)]
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Set when it is known what is recorded.
        self._begun = threading.Event()
        self.is_over = False

    def start(self, *, root_waits: bool) -> None:
        """Begin.

        Args:
            root_waits: nobody else waits for the root's end.
        """
        if root_waits:
            self._spawn(self._watch, self.root)
        self._spawn(self._run)

    def leave(self, key: TargetKey) -> None:
        """Record a process no more, whatever there is to record."""
        with self._lock:
            self._left.add(key)

    def has(self, key: TargetKey) -> bool:
        """Whether a process is recorded as one of the tree."""
        with self._lock:
            return key in self._members

    def is_storing(self) -> bool:
        """Whether one that is about to end waits for what it has to be stored."""
        with self._lock:
            return any(live.link.channel.is_ending and not live.gone for live in self._members.values())

    def record(self, recording: Recording) -> None:
        """Record something of all of them from now on; the root's sessions run already."""
        with self._lock:
            self._recordings[recording.group] = recording
            members = [live for live in self._members.values() if live is not self.root]
        for live in members:
            self._spawn(self._join, live, recording)
        self._begun.set()
        self._look_again()

    def _join(self, live: LiveTarget, recording: Recording) -> None:
        """Record something more of a process that is recorded already."""
        try:
            with live.lock:
                # Where it was let in a moment ago it has it.
                if not live.gone and not any(one.session.group == recording.group for one in live.running.values()):
                    self._book(live, [recording])
        except ExecdError as error:
            self._miss(live.target.key.pid, error)

    def forget(self, group: str = "", collector: str = "") -> list[LiveTarget]:
        """Record something, "" for all there is, in no more processes; return those of the tree, but its root."""
        with self._lock:
            self._recordings = without(self._recordings, group, collector)
            members = [live for live in self._members.values() if live is not self.root]
        self._begun.set()
        self._look_again()
        return members

    def _look_again(self) -> None:
        with self._lock:
            if not self.is_over:
                os.eventfd_write(self._wake, 1)

    def _door(self, live: LiveTarget) -> Door:
        channel, dead_man_s = live.link.channel, self._attacher.dead_man_s
        return Door(channel.follow(timeout_s=REQUEST_TIMEOUT_S, nonce=self._nonce, dead_man_s=dead_man_s))

    def _spawn(self, do: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=self._guarded, args=(do, *arguments), name="execd-tree", daemon=True).start()

    def _guarded(self, do: Callable[..., None], *arguments: object) -> None:
        try:
            do(*arguments)
        except Exception:  # noqa: BLE001 - it is logged, and the other processes of the tree are not concerned
            _LOG.exception("a process of a tree", extra={"facts": {"root": self.root.target.key.pid}})

    def _run(self) -> None:
        """Let in who comes, and look for the others."""
        told = ""
        try:
            while self._goes_on():
                try:
                    self._look_around()
                except (OSError, RuntimeError, ExecdError) as error:
                    # Too many open files or threads, for a while.
                    if str(error) != told:
                        told = str(error)
                        _LOG.warning("descendants were not looked for", extra={"facts": {"why": told}})
                    time.sleep(_PAUSE_S)
        finally:
            with self._lock:
                self.is_over = True
                for door in self._doors:
                    door.close()
                os.close(self._wake)

    def _look_around(self) -> None:
        for arrival in self._arrivals():
            self._let_in(arrival)
        with self._lock:
            followed = {key.pid for key in self._members} | self._coming
        for pid in self._search.due(followed):
            self._spawn(self._come_to, pid)

    def _goes_on(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._recordings = {one.group: one for one in self._recordings.values() if now < one.ends_at}
            self._members = {key: live for key, live in self._members.items() if not live.gone}
            wanted = bool(self._recordings) or not self._begun.is_set()
            return wanted and bool(self._doors or self._members)

    def _arrivals(self) -> list[Arrival]:
        """Wait for children to come, until it is time to look around."""
        with self._lock:
            doors = list(self._doors)
        found, over = wait_at(doors, self._wake, self._search.pause_s)
        for door in over:
            with self._lock:
                self._doors.remove(door)
            door.close()
        return found

    def _let_in(self, arrival: Arrival) -> None:
        """Have a forked child recorded; one that there is no room for goes on at once."""
        try:
            with self._lock:
                there = {key.pid for key in self._members} | self._coming
                # It has an agent of ours already, or says many times that it comes.
                if arrival.pid in there:
                    return arrival.connection.close()
                self._require_place(len(there))
                self._coming.add(arrival.pid)
        except ExecdError as error:
            arrival.connection.close()
            return self._miss(arrival.pid, error)
        return self._spawn(self._admit, arrival)

    def _admit(self, arrival: Arrival) -> None:
        """Record a forked child, which waits until it is."""
        try:
            with arrival.connection:
                with self._entering:
                    self._require_room()
                    who = (arrival.pid, arrival.uid)
                    live = come(linked(arrival.connection, who, self._nonce, METHOD), arrival.pid, self._clock)
                self._begin(live, self._arm_forked, follows=False)
        except ExecdError as error:
            self._miss(arrival.pid, error)
            return
        finally:
            with self._lock:
                self._coming.discard(arrival.pid)
        self._watch(live)

    def admit_started(self, greeted: Callable[[], tuple[AgentLink, int]]) -> None:
        """Record a descendant that was started with an agent of its own, see `runs.py`, from its first line on.

        Args:
            greeted: lets it in and returns its link and its process id.
        """
        pid = 0
        try:
            self._require_room()
            # It may take as long as it likes to its first line: children that are forked do not wait for that.
            link, pid = greeted()
            live = come(link, pid, self._clock)
            self._begin(live, armed_at_the_first_line, follows=True)
        except ExecdError as error:
            self._miss(pid, error)
            return
        self._watch(live)

    def _come_to(self, pid: int) -> None:
        """Record a process that has not come by itself."""
        is_python = False
        try:
            with self._attaching:
                is_python = self._is_ready(pid)
                if not is_python:
                    return
                self._require_room()
                link = self._attacher.attach(look_at(pid).key, _TIMEOUT_S, lambda: self.is_over)
            live = come(link, pid, self._clock)
            self._begin(live, self._arm_late, follows=True)
        except ExecdError as error:
            if not self._search.again(pid) and is_python:
                self._miss(pid, error)
            return
        self._watch(live)

    def _is_ready(self, pid: int) -> bool:
        """Whether a process is one of CPython's; one that is not yet is looked at again."""
        found = self._registry.inspect(str(pid))
        with self._lock:
            if found.target.key in self._left:
                return False
        if found.target.python_version and not found.attached:
            return True
        self._search.again(pid)
        return False

    def _require_room(self) -> None:
        self._begun.wait(_TIMEOUT_S)
        with self._lock:
            if self.is_over or not self._recordings:
                raise TargetGone("nothing is recorded any more")
            self._require_place(len(self._members))

    def _require_place(self, taken: int) -> None:
        if taken >= MOST_PROCESSES:
            raise UsageError(f"{MOST_PROCESSES} processes are recorded at once, and no more")

    def _begin(
        self, live: LiveTarget, arm: Callable[[LiveTarget, Sequence[SessionSpec]], object], *, follows: bool
    ) -> None:
        """Arm in a process what is recorded, and let it go on. What is refused there leaves it as it was.

        Args:
            live: the process, of which nobody else knows yet.
            arm: does it, and lets go.
            follows: it has no door yet.
        """
        try:
            with live.lock:
                with self._lock:
                    recordings = list(self._recordings.values())
                    self._members[live.target.key] = live
                if follows:
                    door = self._door(live)
                    with self._lock:
                        self._doors.append(door)
                    self._look_again()
                arm(live, [spec for recording in recordings for spec in recording.specs])
                self._registry.enter(live)
                with self._booking:
                    self._book(live, recordings)
                live.leaves_when_unused = True
                self._stop_forgotten(live)
            with self._lock:
                self._missed.drop(live.target.key.pid)
        except BaseException:
            with self._lock:
                self._members.pop(live.target.key, None)
            with suppress(ExecdError), live.lock:
                if not live.gone:
                    self._registry.leave(live)
            raise

    def _book(self, live: LiveTarget, recordings: Sequence[Recording]) -> None:
        for recording in recordings:
            for session in self._registry.recorder.start_all(live, recording.specs, "", recording.group):
                live.running[session.id].ends_at = recording.ends_at

    def _stop_forgotten(self, live: LiveTarget) -> None:
        """Stop what was forgotten while it began; nobody else knew of it."""
        with self._lock:
            wanted = {(one.group, spec.collector) for one in self._recordings.values() for spec in one.specs}
        for running in list(live.running.values()):
            if (running.session.group, running.armed.collector) not in wanted:
                self._registry.recorder.stop(live, running)

    def _arm_forked(self, live: LiveTarget, specs: Sequence[SessionSpec]) -> None:
        with self._entering:
            armed = {one.key: one for one in map(live.arm, specs)}
            missed = live.request("open").facts.get("missed")
        if missed:
            for one in armed.values():
                one.caveats += (_WAITED,)

    def _arm_late(self, live: LiveTarget, specs: Sequence[SessionSpec]) -> None:
        armed = {one.key: one for one in map(live.arm, specs)}
        late = told_late(live, self.root, self._clock())
        for one in armed.values():
            one.caveats += late

    def _watch(self, live: LiveTarget) -> None:
        """Wait for the end of a process, and store its last state before it is gone, where it says so."""
        if ends_by_itself(live):
            with live.lock:
                if not live.gone:
                    self._registry.recorder.stop_all(live, SOURCES_S, self._booking)
                    self._registry.leave(live)
        elif not live.gone and isinstance(why := live.left(), TargetGone) and has_memory(live.target.key.pid):
            # It executes another program, which may be an interpreter again: it is looked for then.
            self._registry.lose(live, why)
        settled(lambda: live.gone)
        self._look_again()

    def _miss(self, pid: int, error: ExecdError) -> None:
        """Count a process that goes on unrecorded, and have the root's sessions say so."""
        with self._lock:
            self._missed.add(pid, error)
            notes = self._missed.notes()
            groups = set(self._recordings)
        with self.root.lock:
            for running in self.root.running.values():
                if running.session.group in groups:
                    running.notes = notes
