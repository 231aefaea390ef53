"""What would hold a process up for long, snapshots and searches: refused with the estimate, done where confirmed."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import fake_agents
import pytest
from execd.attach.channel import Reply
from execd.errors import AgentSilent, UsageError
from execd.model.session import SessionSpec
from execd.sessions.memory import ask_memory
from fake_agents import FakeAgent
from fake_daemons import CALLS
from lies import rows

if TYPE_CHECKING:
    from fake_daemons import Daemon

LONG_NS, SHORT_NS = 600_000_000, 400_000_000
FIGURE = ("i8", array("q", (1,)).tobytes())
SEARCH: dict[str, object] = {"what": "where", "name": "Kept", "most": 3}
FOUND: dict[str, object] = {"count": 5, "bytes": 80, "untraced": 2, "objects": []}
BLOCKS = rows(1, blocks=FIGURE, bytes=FIGURE, frames=FIGURE)
MEMORY = SessionSpec("memory", {})


class Tracing(FakeAgent):
    """Has traced many blocks."""

    facts: dict[str, object]

    def answer(self, operation: str, arguments: dict[str, Any]) -> Reply:
        """Does what an agent does."""
        reply = super().answer(operation, arguments)
        return Reply(self.facts, b"") if operation == "ask" else reply


@pytest.fixture
def agent(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Tracing:
    """The agent of a process whose memory and calls are recorded."""
    monkeypatch.setattr(fake_agents, "COLLECTORS", ("calls", "memory"))
    pid = daemon.target()
    agent = daemon.attacher.agents[pid] = Tracing(bulk=BLOCKS)
    daemon.attach(pid, (CALLS, MEMORY))
    return agent


def stored(daemon: Daemon) -> list[str]:
    return [row.collector for row in daemon.store.stored_profiles(limit=99) if row.reason == "snapshot"]


def process(daemon: Daemon) -> str:
    return str(daemon.registry.live_targets()[0].target.key.pid)


def test_a_long_pause_is_refused_before_anything_is_taken_and_told(daemon: Daemon, agent: Tracing) -> None:
    agent.facts = {"expected_pause_ns": LONG_NS, "listed_blocks": 1_300_000}
    with pytest.raises(UsageError, match=r"about 1300000 blocks holds process \d+ up for about 0\.6 s") as caught:
        daemon.registry.snapshot(process(daemon), "")
    assert "--yes" in caught.value.remedy
    assert "snapshot" not in agent.operations()
    assert stored(daemon) == []


def test_what_is_confirmed_is_taken_and_not_asked_for(daemon: Daemon, agent: Tracing) -> None:
    daemon.registry.snapshot(process(daemon), "", confirmed=True)
    assert sorted(stored(daemon)) == ["calls", "memory"]
    assert "ask" not in agent.operations()


@pytest.mark.parametrize(
    "facts",
    [
        {"expected_pause_ns": SHORT_NS, "listed_blocks": 900_000},
        {},
        {"expected_pause_ns": "long", "listed_blocks": None},
        {"expected_pause_ns": 1 << 70, "listed_blocks": 1},
    ],
    ids=["short", "an older agent", "lies", "no number of nanoseconds"],
)
def test_short_ones_and_those_without_an_estimate_are_taken(
    daemon: Daemon, agent: Tracing, facts: dict[str, object]
) -> None:
    agent.facts = facts
    daemon.registry.snapshot(process(daemon), "")
    assert sorted(stored(daemon)) == ["calls", "memory"]


def test_a_long_search_is_refused_before_it_begins_and_told(daemon: Daemon, agent: Tracing) -> None:
    agent.facts = {"expected_search_ns": LONG_NS, "allocated_blocks": 400_000}
    with pytest.raises(UsageError, match=r"among 400000 takes up to 0\.6 s") as caught:
        ask_memory(daemon.registry, process(daemon), SEARCH)
    assert "--yes" in caught.value.remedy
    assert [arguments["question"]["what"] for operation, arguments in agent.asked if operation == "ask"] == ["figures"]


@pytest.mark.parametrize(
    "question", [{**SEARCH, "confirmed": True}, {**SEARCH, "name": "app:kept"}], ids=["confirmed", "one object"]
)
def test_a_search_that_is_confirmed_or_needs_none_is_made_at_once(
    daemon: Daemon, agent: Tracing, question: dict[str, object]
) -> None:
    agent.facts = {**FOUND, "expected_search_ns": LONG_NS, "allocated_blocks": 400_000}
    found = ask_memory(daemon.registry, process(daemon), question)
    assert (found.count, found.figures) == (5, {"untraced": 2})
    assert [arguments["question"]["what"] for operation, arguments in agent.asked if operation == "ask"] == ["where"]


def test_a_search_that_does_not_end_in_time_says_what_goes_on(daemon: Daemon, agent: Tracing) -> None:
    agent.errors["ask"] = AgentSilent("the agent did not answer in time", pid=1)
    with pytest.raises(AgentSilent, match="goes on to look for the objects, and its answer is dropped"):
        ask_memory(daemon.registry, process(daemon), {**SEARCH, "confirmed": True})
