"""Sessions of the native form, whose tables the daemon reads: it does not ask for them, and has them after any end."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from core_tables import CLOCK_CPU, SEQUENCE_AT, sealed, tables
from execd.attach.coremap import CoreMap
from execd.errors import AgentSilent, AttachBusy
from execd.model.session import SessionSpec, State
from fake_agents import FakeAgent
from fake_daemons import CALLS
from footprint import becomes, descriptors, state_letters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Profile
    from fake_daemons import Daemon

CALLED = 7
CHECKPOINTED_S = 30.0
FACTS = {"caveats": ["said of the program"], "labels": [], "lost": {}, "extra": {"python_inside_ns": 40}}


@pytest.fixture
def memory() -> Iterator[int]:
    """A descriptor of tables, which a target has under the same number."""
    descriptor = sealed(tables(CALLED))
    yield descriptor
    os.close(descriptor)


def native(daemon: Daemon, memory: int, *, said: Any = None) -> int:
    """A target whose agent says where its tables are."""
    pid = daemon.target(memory)
    told = memory if said is None else said
    daemon.attacher.agents[pid] = FakeAgent(start={"form": "native", "caveats": [], "tables": told}, facts=FACTS)
    return pid


def snapshot(daemon: Daemon, session: str) -> Profile:
    """One that is taken now; checkpoints are beside it."""
    (stored,) = daemon.registry.snapshot(session, "")
    return daemon.store.load(stored.id)


def final(daemon: Daemon, session: str) -> Profile:
    """The last profile of a session that has ended."""
    stored = daemon.store.stored(daemon.store.session(session).latest_profile)
    assert stored.reason == "final"
    return daemon.store.load(stored.id)


def calls(profile: Profile) -> int:
    """How often `work` was called."""
    assert {one.name for one in profile.functions} <= {"work", ""}
    return sum(profile.column("calls"))


def set_calls(memory: int, count: int) -> None:
    """Has the program call it so often in all."""
    os.pwrite(memory, tables(count), 0)


def test_a_snapshot_asks_for_nothing(daemon: Daemon, memory: int) -> None:
    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    assert calls(snapshot(daemon, session)) == CALLED
    set_calls(memory, 9)
    assert calls(snapshot(daemon, session)) == 9
    assert daemon.agent(pid).operations() == ["start"]


def test_what_is_told_beside_the_tables_stands_in_the_profiles_after_it(daemon: Daemon, memory: int) -> None:
    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    labels = [{"thread_id": 1, "thread_name": "another", "domain": 0}]
    daemon.agent(pid).ping = {"facts": {"calls": {**FACTS, "labels": labels}}}
    daemon.live(pid).ping()
    header = snapshot(daemon, session).header
    assert "said of the program" in header.caveats
    assert header.extra["python_inside_ns"] == 40


def test_a_stop_takes_what_was_recorded_and_told_last(daemon: Daemon, memory: int) -> None:
    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    set_calls(memory, 11)
    (stopped,) = daemon.registry.stop(session)
    assert (stopped.state, calls(final(daemon, session))) == (State.STOPPED, 11)
    assert "said of the program" in final(daemon, session).header.caveats
    assert daemon.agent(pid).operations() == ["start", "stop"]


@pytest.mark.parametrize("sequence", [0, 1])
def test_the_last_profile_of_a_target_that_ended_has_all(daemon: Daemon, memory: int, sequence: int) -> None:
    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    set_calls(memory, 1_000)
    # In the midst of a change, perhaps.
    os.pwrite(memory, sequence.to_bytes(8, "little"), SEQUENCE_AT)
    daemon.end(pid)
    assert daemon.until_ended(session) is State.TARGET_GONE
    assert calls(final(daemon, session)) == 1_000


def test_an_agent_that_is_silent_keeps_nothing_back(daemon: Daemon, memory: int) -> None:
    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    agent, live = daemon.agent(pid), daemon.live(pid)
    agent.errors = {name: AgentSilent("it holds its GIL") for name in ("ping", "snapshot", "stop")}
    assert calls(snapshot(daemon, session)) == CALLED
    # The first beat finds that out, those after it do without.
    daemon.registry.beat(live)
    assert live.silent
    checkpointed = [row.id for row in daemon.store.stored_profiles(session=session) if row.reason == "checkpoint"]

    def is_checkpointed() -> bool:
        rows = daemon.store.stored_profiles(session=session)
        return any(row.reason == "checkpoint" and row.id not in checkpointed for row in rows)

    live.running[session].checkpoint_due = 0.0
    assert becomes(is_checkpointed, CHECKPOINTED_S)
    assert live.silent
    set_calls(memory, 9)
    (stopped,) = daemon.registry.stop(session)
    assert (stopped.state, calls(final(daemon, session))) == (State.FAILED, 9)


def test_of_a_process_that_is_stopped_all_is_here_and_its_agent_is_told_for_later(daemon: Daemon, memory: int) -> None:
    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    agent = daemon.agent(pid)
    agent.errors["stop"] = AgentSilent("it does not run")
    set_calls(memory, 9)
    os.kill(pid, signal.SIGSTOP)
    assert becomes(lambda: state_letters(pid) == {"T"}, CHECKPOINTED_S)
    (stopped,) = daemon.registry.stop(session)
    os.kill(pid, signal.SIGCONT)
    assert (stopped.state, stopped.reason, calls(final(daemon, session))) == (State.STOPPED, "", 9)
    assert agent.operations() == ["start", "stop"]
    # Nobody waited for it.
    assert agent.waits_s.count(0.0) == 1


def test_a_session_that_comes_later_has_what_was_called_since(daemon: Daemon, memory: int) -> None:
    pid = native(daemon, memory)
    daemon.attach(pid)
    later = daemon.registry.start(str(pid), [CALLS])[0].id
    set_calls(memory, CALLED + 5)
    assert calls(snapshot(daemon, later)) == 5


@pytest.mark.parametrize("said", [0, 9999, -1, 1 << 40, "3", None, True, [3]])
def test_where_there_are_no_tables_the_agent_copies_them(daemon: Daemon, memory: int, said: object) -> None:
    pid = native(daemon, memory, said=said if said is not None else "nothing")
    session = daemon.attach(pid).sessions[0].id
    snapshot(daemon, session)
    daemon.registry.stop(session)
    # Checkpoints are asked for too.
    assert list(dict.fromkeys(daemon.agent(pid).operations())) == ["start", "snapshot", "stop"]
    assert "reads_tables" not in daemon.agent(pid).asked[-1][1]


def test_where_no_instant_is_found_the_agent_copies_them(
    daemon: Daemon, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_tables: CoreMap) -> bytes:
        raise AttachBusy("it changes all the time")

    pid = native(daemon, memory)
    session = daemon.attach(pid).sessions[0].id
    monkeypatch.setattr(CoreMap, "copy", busy)
    daemon.agent(pid).calls = 3
    assert calls(snapshot(daemon, session)) == 3
    daemon.registry.stop(session)
    assert calls(final(daemon, session)) == CALLED


def test_tables_are_let_go_of_with_the_last_session(daemon: Daemon, memory: int) -> None:
    def ours() -> int:
        return sum("/memfd:tables" in name for name in descriptors(os.getpid()))

    before = ours()
    pid = native(daemon, memory)
    first = daemon.attach(pid).sessions[0].id
    second = daemon.registry.start(str(pid), [CALLS])[0].id
    assert ours() == before + 1
    daemon.registry.stop(first)
    assert ours() == before + 1
    daemon.registry.stop(second)
    assert ours() == before


def test_times_by_the_cpu_go_on_where_a_thread_is(daemon: Daemon) -> None:
    memory = sealed(bytes(4096))
    pid = native(daemon, memory)
    os.pwrite(memory, tables(CALLED, clock=CLOCK_CPU, native_id=pid), 0)
    session = daemon.attach(pid, (SessionSpec("calls", {"clock": "cpu"}),)).sessions[0].id
    # What it took to begin is the time of who is innermost.
    assert sum(snapshot(daemon, session).column("self_ns")) > 10 * CALLED
    os.close(memory)
