"""What an attach tells of the overhead to be expected, and what it does where the target does not answer."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from counted_tables import tables
from execd.errors import AgentFailed, AgentSilent, ExecdError
from execd.sessions.overhead import Gauge, expected

PRICES = {"prices": {"python": 100.0, "resumed": 50.0}}


class Live:
    """A target whose agent tells prices when it is asked, or fails."""

    def __init__(self, failure: ExecdError | OSError | None = None) -> None:
        self.lock, self.gone = threading.Lock(), False
        self.gauge = Gauge(1, lambda: tables([1000]), None, cpu_ns=lambda _pid: 0)
        self.failure = failure
        self.pings = 0

    def ping(self, _timeout_s: float) -> None:
        """Its answer."""
        self.pings += 1
        if self.failure is not None:
            raise self.failure
        self.gauge.hear(PRICES)


def told(live: Live) -> Any:
    running = SimpleNamespace(armed=SimpleNamespace(gauge=live.gauge))
    return expected(live, running)  # type: ignore[arg-type]


def test_it_is_told_by_the_prices_that_the_agent_is_asked_for() -> None:
    found = told(live := Live())
    assert live.pings == 1
    assert (found.events_per_s > 0, found.share) == (True, 0)


@pytest.mark.parametrize(
    "failure", [AgentSilent("process 1 does not answer"), AgentFailed("it left"), OSError("closed")], ids=repr
)
def test_a_target_that_does_not_answer_is_no_error_of_the_attach(failure: ExecdError | OSError) -> None:
    assert told(live := Live(failure)) is None
    # Whoever is next has the lock.
    assert live.pings == 1
    assert not live.lock.locked()
