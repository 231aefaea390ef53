"""The overhead of recordings: expected at their start, told while they go on, kept within a limit or ended for it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from footprint import becomes, thread_ids

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execctl.api.recording import Recording
    from execctl.api.session import Session
    from execctl.client import Client
    from interpreters import Interpreter

# A program that does little but call costs several times as much, on any machine.
LIMIT = 0.01
# Of time slices, by what the program's calls cost there: below it, and far above what the shortest slices cost.
SLICED_LIMITS = {(3, 9): 0.02, (3, 10): 0.04, (3, 11): 0.15}
# A second above the limit, a second after each step; the rest is for a machine that has other things to do.
PATIENCE_S = 90.0
SWITCHES_OFF = (3, 12)


def session_of(client: Client, session: str) -> Session:
    return client.session(session)


def is_told(daemon: Daemon) -> bool:
    """Whether the only session is listed with what it costs; a process that did not run for a second costs nothing."""
    (row,) = json.loads(daemon.execctl("sessions", "--json"))["sessions"]
    return row["overhead"] is not None and all(row["overhead"][name] for name in ("events_per_s", "event_ns", "share"))


def switched_off(recording: Recording) -> dict[str, Any]:
    """What was switched off until now, by name."""
    return {one["name"]: one for one in recording.profile().origin.extra.get("switched_off", [])}


@pytest.mark.parametrize("form", ["python", "native"])
def test_the_overhead_is_expected_at_the_start_and_told_while_it_records(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, form: str
) -> None:
    program = spawn(local_interpreter, "costed", "calls")
    with daemon.client() as client, client.attach(program.pid, profile=True, form=form) as recording:
        (session,) = recording.sessions
        # None where the process did not answer soon enough.
        assert becomes(lambda: client.overhead(session.id) is not None, PATIENCE_S)
        assert becomes(lambda: getattr(session_of(client, session.id).overhead, "share", None), PATIENCE_S)
        assert becomes(lambda: is_told(daemon), PATIENCE_S)
        head, line = daemon.execctl("sessions").splitlines()
        assert "EVENTS/S" in head
        assert "%" in line
        ended = recording.stop()
    assert [one.overhead for one in ended] == [None]


def test_what_an_event_costs_is_measured_where_the_program_runs(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(interpreter, "costed", "calls")
    usual = os.sched_getaffinity(program.pid)
    there = {max(usual)}
    for tid in thread_ids(program.pid):
        os.sched_setaffinity(tid, there)
    before = set(thread_ids(program.pid))

    def seats() -> list[set[int]]:
        return [os.sched_getaffinity(tid) for tid in thread_ids(program.pid) if tid not in before]

    with daemon.client() as client, client.attach(program.pid, profile=True, form="native") as recording:
        (agent,) = set(thread_ids(program.pid)) - before
        # Whichever thread began it gave it its own.
        os.sched_setaffinity(agent, usual)
        # For some ms each second.
        assert becomes(lambda: seats() == [there], PATIENCE_S, every_s=0.0005)
        assert becomes(lambda: seats() == [usual], PATIENCE_S, every_s=0.0005)
        recording.stop()


def test_the_command_line_tells_what_is_to_be_expected(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "costed", "calls")

    def told() -> list[str]:
        attached = daemon.run_execctl("attach", str(program.pid), "--profile", "--form", "native")
        assert attached.returncode == 0
        daemon.detach(program.pid)
        return [line for line in attached.stderr.splitlines() if "expected overhead:" in line]

    # Where the process does not answer in time nothing is said: on a machine with much to do it may not.
    assert becomes(lambda: any("events/s at" in line for line in told()), PATIENCE_S)


def test_where_it_is_above_its_limit_short_functions_are_switched_off(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn
) -> None:
    if interpreter.version_info < SWITCHES_OFF:
        pytest.skip("it goes on in time slices")
    program = spawn(interpreter, "costed", "calls")
    with daemon.client() as client:
        recording = client.attach(program.pid, profile=True, form="native", max_overhead=LIMIT)
        (session,) = recording.sessions

        def is_kept() -> bool:
            cost = session_of(client, session.id).overhead
            return cost is not None and cost.share is not None and cost.share < LIMIT

        assert becomes(lambda: {"leaf", "tree"} <= switched_off(recording).keys(), PATIENCE_S)
        assert becomes(is_kept, PATIENCE_S)
        off = switched_off(recording)
        assert all(one["calls"] > 0 and one["limit"] == LIMIT for one in off.values())
        report = daemon.execctl("report", session.id)
        assert "Switched off: to keep the overhead below 1%: " in report
        assert session_of(client, session.id).state == "running"
        recording.end()
    assert program.alive()


def sliced(client: Client, which: str) -> dict[str, Any]:
    """What a profile, or a session until now, says of time slices."""
    told: Any = client.profile(which).origin.extra.get("time_slices", [])
    return dict(*told) if told else {"recorded_s": 0.0, "whole_s": 0.0}


def is_in_slices(client: Client, session: str) -> bool:
    """Whether a session goes on in slices, as its cost says it, and its profile has more than one."""
    cost = session_of(client, session).overhead
    return cost is not None and cost.recorded < 1 and sliced(client, session)["recorded_s"] > 0.1


@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_before_312_it_goes_on_in_time_slices_above_its_limit(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, clock: str
) -> None:
    if interpreter.version_info >= SWITCHES_OFF:
        pytest.skip("functions are switched off")
    program = spawn(interpreter, "costed", "calls")
    options: Any = {"profile": True, "form": "native", "clock": clock}
    options["max_overhead"] = SLICED_LIMITS[interpreter.version_info]
    with daemon.client() as client, client.attach(program.pid, **options) as recording:
        (session,) = recording.sessions
        assert becomes(lambda: is_in_slices(client, session.id), PATIENCE_S)
        (row,) = json.loads(daemon.execctl("sessions", "--json"))["sessions"]
        assert row["state"] == "running"
        assert row["overhead"] is None or row["overhead"]["recorded"] < 1
        assert "Caveat: recorded in time slices since " in daemon.execctl("report", session.id)
        (earlier,) = recording.snapshot()
        (ended,) = recording.stop()
        assert (ended.state, ended.reason) == ("stopped", "")
        first, last = sliced(client, earlier.id), sliced(client, ended.latest_profile)
        assert first["recorded_s"] <= last["recorded_s"] < last["whole_s"]
        assert first["whole_s"] <= last["whole_s"]
        told = daemon.execctl("diff", earlier.id, ended.latest_profile)
        assert told.count("recorded in time slices since ") == 2
    assert program.alive()


def test_of_what_is_killed_in_time_slices_all_is_there(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    if interpreter.version_info >= SWITCHES_OFF:
        pytest.skip("functions are switched off")
    program = spawn(interpreter, "costed", "calls")
    with daemon.client() as client:
        limit = SLICED_LIMITS[interpreter.version_info]
        recording = client.attach(program.pid, profile=True, form="native", max_overhead=limit)
        (session,) = recording.sessions
        assert becomes(lambda: is_in_slices(client, session.id), PATIENCE_S)
        recorded_s = sliced(client, session.id)["recorded_s"]
        program.kill()
        assert becomes(lambda: session_of(client, session.id).ended_at is not None, PATIENCE_S)
        ended = session_of(client, session.id)
        assert ended.state == "target_gone"
        assert recorded_s <= sliced(client, ended.latest_profile)["recorded_s"]


def test_the_python_form_ends_above_its_limit(daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(local_interpreter, "costed", "calls")
    options = {"profile": True, "form": "python", "max_overhead": LIMIT}
    with daemon.client() as client, client.attach(program.pid, **options) as recording:
        (session,) = recording.sessions
        assert becomes(lambda: session_of(client, session.id).ended_at is not None, PATIENCE_S)
        reason = session_of(client, session.id).reason
    assert "the python form switches no functions off" in reason


def test_a_recording_within_its_limit_goes_on_whole(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "costed", "calls")
    with (
        daemon.client() as client,
        client.attach(program.pid, profile=True, form="native", max_overhead=10.0) as recording,
    ):
        (session,) = recording.sessions
        assert becomes(lambda: getattr(session_of(client, session.id).overhead, "share", None), PATIENCE_S)
        (ended,) = recording.stop()
        assert (ended.state, ended.reason) == ("stopped", "")
        assert "switched_off" not in recording.profile().origin.extra
