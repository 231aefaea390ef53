"""A registry and a store that answer with fixed values and note what they were asked, for tests of execd.rpc."""

from __future__ import annotations

import queue
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from execd.errors import NotFound, TargetGone
from execd.model.attachment import Attachment, Detachment
from execd.model.overhead import Overhead
from execd.model.profile import Header, Profile
from execd.model.retention import Retention
from execd.model.session import OpenGroup, Session, SessionSpec, State
from execd.model.stored import StoredProfile, Totals, Wanted
from execd.model.target import Candidate, Check, Outcome, Target, TargetKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Answer = TypeVar("Answer")
WAIT_S = 10.0
TARGET = Target(TargetKey("boot", 4711, 9), 1000, ("python", "\udcff"), "/python", "3.11.7")
SESSION = Session("s1", "", "g1", TARGET, SessionSpec("calls"), "python", State.RUNNING, 1.0)
COST = Overhead(span_s=1.0, events_per_s=310_000.0, event_ns=38.0, share=0.012, cpu_ns=10**9, added_ns=11.8e6)
STORED = StoredProfile("p1", "", "s1", "calls", "final", 1.0, 2.0, nodes=0, stored_bytes=3, pid=4711)
EARLIER = StoredProfile("p0", "", "s1", "calls", "snapshot", 1.0, 1.5, nodes=0, stored_bytes=3, pid=4711)
ATTACHMENT = Attachment(
    target=TARGET,
    sessions=(SESSION,),
    joined=True,
    attach_us=20_000,
    stopped_us=300,
    method="pending call",
)
DETACHMENT = Detachment(target=TARGET, sessions=(SESSION,), was_attached=True, residue=("one inert stub",))


@dataclass
class FakeRegistry:
    """Answers with the values above; notes how it was asked."""

    attached_targets: int = 2
    running_sessions: int = 3
    error: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    allowed_seccomp: list[bool] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    gone: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)

    def _answer(self, asked: object, answer: Answer) -> Answer:
        self.asked.append(asked)
        if self.error:
            raise self.error
        return answer

    def cost(self, session: Session) -> Overhead | None:
        return COST if session.id == SESSION.id else None

    def costs(self, sessions: Sequence[Session]) -> dict[str, Overhead]:
        """What those cost of which that is known."""
        found = {one.id: self.cost(one) for one in sessions}
        return {key: cost for key, cost in found.items() if cost is not None}

    def overhead(self, selector: str) -> Overhead | None:
        return self._answer(("overhead", selector), COST)

    def candidates(self) -> list[Candidate]:
        return self._answer("candidates", [Candidate(TARGET, "ann", attached=True, reason="")])

    def inspect(self, selector: str, *, every_check: bool, allow_seccomp: bool) -> Candidate:
        checks = (Check("alive", Outcome.FAILED, "stopped \udcff", "run it", 5),) if every_check else ()
        found = Candidate(TARGET, "ann", attached=False, reason="stopped", checks=checks, place="in system call read")
        return self._answer((selector, every_check, allow_seccomp), found)

    def attach(
        self,
        selector: str,
        specs: list[SessionSpec],
        *,
        name: str,
        timeout_s: float,
        cancelled: Callable[[], bool],
        allow_seccomp: bool,
        duration_s: float,
    ) -> Attachment:
        if selector == "never":
            self.asked.append(selector)
            wait_until(cancelled)
            self.gone.put("attach")
        self.allowed_seccomp.append(allow_seccomp)
        self.durations_s.append(duration_s)
        return self._answer((selector, specs, name, timeout_s), ATTACHMENT)

    def detach(self, selector: str, *, unless_used: bool) -> Detachment:
        return self._answer((selector, unless_used), DETACHMENT)

    def start(self, selector: str, specs: list[SessionSpec]) -> list[Session]:
        return self._answer((selector, specs), [SESSION])

    def stop(self, selector: str) -> list[Session]:
        return self._answer(selector, [SESSION])

    def snapshot(self, selector: str, name: str, *, confirmed: bool) -> list[StoredProfile]:
        return self._answer((selector, name, confirmed), [STORED])

    def session(self, selector: str) -> Session:
        return self._answer(selector, SESSION)

    def sessions(self, *, running_only: bool, limit: int, wanted: Mapping[str, str]) -> list[Session]:
        assert not wanted
        return self._answer((running_only, limit), [SESSION])

    def open_groups(self, wanted: Mapping[str, str]) -> list[OpenGroup]:
        assert not wanted
        return [OpenGroup("g3", "nightly", SESSION.spec, 7.0)]

    def watch(self, selector: str, stopped: Callable[[], bool]) -> Iterator[Session]:
        try:
            yield self._answer(selector, SESSION)
            if selector == "forever":
                wait_until(stopped)
        finally:
            self.gone.put("watch")
        if selector == "breaks":
            raise TargetGone("PID 4711 ended", pid=4711)

    @property
    def subjects(self) -> FakeRegistry:
        return self

    def recorded(self, subject: str) -> Session | None:
        return None if subject.startswith("p") else SESSION

    def resolve_profile(self, subject: str) -> StoredProfile:
        return self._answer(subject, STORED)

    def earlier_profile(self, profile: StoredProfile, compare: str) -> StoredProfile:
        return self._answer((profile.id, compare), EARLIER)


@dataclass
class FakeStore:
    """Holds two profiles."""

    data: bytes = b"abc"

    def totals(self) -> Totals:
        return Totals(profiles=5, bytes=6000)

    retention: Retention = field(default_factory=Retention)

    def stored_profiles(self, *, session: str, limit: int, wanted: Wanted) -> list[StoredProfile]:
        assert wanted == Wanted()
        return [STORED] * min(limit, 2) if session in {"", "s1"} else []

    def session(self, reference: str) -> Session:
        assert reference == "s1"
        return SESSION

    def stored(self, reference: str) -> StoredProfile:
        if reference != "p1":
            raise NotFound(f"no profile {reference}", profile=reference)
        return STORED

    def read(self, reference: str) -> bytes:
        assert reference == "p1"
        return self.data

    def load(self, reference: str) -> Profile:
        caveats = ("since attach", reference)
        header = Header("calls", "python", "s1", 4711, (), "3.11.7", 1.0, 2.0, caveats=caveats)
        return Profile(header, (), (), (), array("i"), array("i"), array("i"), ())

    def source(self, digest: str) -> bytes | None:
        return self.data if digest else None

    def delete(self, reference: str, *, also_running: bool) -> StoredProfile:
        assert not also_running
        return self.stored(reference)


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until a condition holds, and fail after WAIT_S."""
    pause, deadline = threading.Event(), time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        pause.wait(0.005)
