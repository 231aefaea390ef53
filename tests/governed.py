"""A process that records, as a governor sees it, whose time passes by hand."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from counted_tables import tables
from execd.sessions.armed import Armed
from execd.sessions.governor import Governor
from execd.sessions.overhead import Gauge

if TYPE_CHECKING:
    from collections.abc import Callable

S = 10**9
LIMIT = 0.2
PRICES = {"prices": {"python": 100.0, "resumed": 50.0}}


class Target:
    """A process that records, and what is known of it and asked of it here."""

    def __init__(
        self, form: str = "native", *, maps: bool = True, limit: float | None = LIMIT, version: str = "3.13.1"
    ) -> None:
        self.now_s, self.calls, self.off = 100.0, [0, 0], set[int]()
        self.kinds: dict[int, int] = {}
        self.asked: list[list[int]] = []
        self.answer: Callable[[list[int]], object] = self.obey
        self.failing: Exception | None = None
        self.lock, self.gone, self.silent = threading.RLock(), False, False
        self.link = SimpleNamespace(channel=SimpleNamespace(has_news=lambda: True))
        self.target = SimpleNamespace(key=SimpleNamespace(pid=7), python_version=version)
        # Of time slices: those that were asked for, and what is told of switching; how much more it is each time.
        self.shares: list[float] = []
        self.switching_ns = self.switching_more_ns = 0
        self.slices = 10
        self.armed = Armed("calls", "calls", {"max_overhead": limit}, form, (), {"s1"}, 0.0)
        self.gauge = Gauge(7, self.copied if maps else None, limit, lambda: self.now_s, self.used_ns, lambda: 0.0)
        self.armed.gauge = self.gauge
        self.session = SimpleNamespace(armed=self.armed, breach="")
        self.running = {"s1": self.session}

    def used_ns(self, _pid: int) -> int:
        """It has a processor for itself."""
        return round(self.now_s * S)

    def copied(self) -> bytes:
        """Its tables."""
        if self.failing is not None:
            raise self.failing
        return tables(self.calls, ns_a_call=200, off=self.off, kinds=self.kinds)

    def obey(self, functions: list[int]) -> object:
        """Switch functions off."""
        self.off |= set(functions)
        return functions

    def request(self, operation: str, *, functions: Any = (), share: float = 0.0, **_: object) -> object:
        """What the agent is asked."""
        if operation == "slice":
            return SimpleNamespace(facts=self.sliced(share))
        assert operation == "switch_off"
        self.asked.append(functions)
        return SimpleNamespace(facts={"functions": self.answer(functions)})

    def sliced(self, share: float) -> object:
        """Go on in time slices."""
        if not self.shares or share != self.shares[-1]:
            self.shares.append(share)
        self.switching_ns += self.switching_more_ns
        self.slices += 10 if self.slices else 0
        return {"switching_ns": self.switching_ns, "slices": self.slices}

    @property
    def recorded(self) -> float:
        """The share of the time that is recorded."""
        return self.shares[-1] if self.shares else 1.0


class Registry:
    """Of one target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lost: list[Exception] = []
        self.recorder = self

    def live_targets(self) -> list[Target]:
        """What is attached."""
        return [self.target]

    def stop(self, live: Target, _running: object, patience_s: float) -> None:
        """End its session."""
        assert patience_s == 0.0
        live.running.clear()

    def look_again(self) -> None:
        """Somebody has."""

    def lose(self, _live: Target, error: Exception) -> None:
        """It is gone."""
        self.lost.append(error)


class Rounds:
    """A governor whose rounds are made here, a quarter of a second each."""

    def __init__(self, target: Target) -> None:
        self.target, self.registry = target, Registry(target)
        self.governor: Any = Governor(self.registry)  # type: ignore[arg-type]

    def pass_(self, seconds: float, calls_per_s: int = 3_000_000, said: object = PRICES) -> None:
        """Let time go by, with so many calls of what is on; `said`: by the agent, each second."""
        for number in range(round(seconds * 4)):
            target = self.target
            target.now_s += 0.25
            for index in range(len(target.calls)):
                calls = 0 if index + 1 in target.off else calls_per_s // 4 // (9 * index + 1)
                target.calls[index] += round(calls * target.recorded)
            if not number % 4:
                target.gauge.hear(said)
            self.governor.round()

    @property
    def reason(self) -> str:
        """Why the session has ended."""
        assert not self.target.running
        return str(self.target.session.breach)
