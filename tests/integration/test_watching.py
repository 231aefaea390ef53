"""What a session of samples meets, told while it goes on: of every version, to each reader, to any end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from execctl.errors import Ambiguous, NotFound, UsageError
from execd.model import codec
from execd.sessions.armed import CLIENT_GRACE_S
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from daemons import Daemon
    from execctl.api.windows import SampleWindow
    from execctl.client import Client
    from interpreters import Interpreter

RATE_HZ = 500.0
INTERVAL_S = 0.2
LIMIT_S = 30.0
LEAST = 100
BOUND_S = 4.0
# `execctl top` that is killed between its attach and its stream.
DYING_READER = """
import os, signal, sys
from execctl.client import Client
from execctl.interrupts import Bell
from execctl.query import SessionSpec
from execctl.top import beginning
beginning._UNREAD_S = 0.1
Client.sample_windows = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with Bell() as bell, Client(sys.argv[1]) as client:
    beginning.begin(client, bell, sys.argv[2], SessionSpec("samples", {"rate_hz": 100.0}), 1.0, anew=True)
"""


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """The Python API."""
    with daemon.client() as opened:
        yield opened


def total(windows: list[SampleWindow]) -> int:
    """How many samples are in some windows."""
    return sum(sum(window.states.values()) for window in windows)


def stored(daemon: Daemon, session: str) -> int:
    """How many samples a session has stored by now."""
    return sum(codec.decode(daemon.final_profile(session)).column("samples"))


def test_every_sample_is_in_one_window(daemon: Daemon, client: Client, spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=RATE_HZ).sessions[0].id
    windows: list[SampleWindow] = []
    with closing(client.sample_windows(session, interval_s=INTERVAL_S)) as told:
        windows.append(next(told))
        assert (windows[0].session, windows[0].asked_hz, total(windows)) == (session, RATE_HZ, 0)
        daemon.execctl("snapshot", session)
        before = stored(daemon, session)
        for window in told:
            windows.append(window)
            if total(windows) > LEAST and len(windows) > 3:
                client.stop(session)
    # The rest of what was met is in the last one. What came between its beginning and the snapshot may be in both.
    assert stored(daemon, session) - before <= total(windows) <= stored(daemon, session)
    for window in windows[1:]:
        assert sum(row.own.wall for row in window.functions) == sum(row.own.wall for row in window.lines)
        assert sum(row.own.wall for row in window.functions) == sum(window.states.values())
    rows = {row.place.name: row for row in max(windows, key=lambda one: one.turns).functions}
    # Of a stack that moved while it was read the callers may not be known.
    hidden = rows["(unsettled)"].total.cpu if "(unsettled)" in rows else 0
    assert rows["main"].total.cpu + hidden >= rows["outer"].total.cpu
    assert rows["outer"].total.cpu + hidden >= rows["leaf"].own.cpu > 0
    threads = {thread.name: thread for window in windows for thread in window.threads}
    assert set(threads) == {"MainThread", "commands"}
    assert threads["commands"].system_call == "read"
    assert client.session(session).state == "stopped"


def test_two_readers_get_all_of_it_and_the_session_loses_nothing(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=RATE_HZ).sessions[0].id
    with closing(client.sample_windows(session)) as one, closing(client.sample_windows(session)) as other:
        began = [next(one), next(other)]
        first, second = [next(one)], [next(other)]
        while total(second) <= LEAST:
            second.append(next(other))
        client.stop(session)
        first += one
        second += other
    assert {window.session for window in began} == {session}
    # Of both the last window holds what was left.
    assert total(second) <= total(first) <= stored(daemon, session)


def test_the_stream_ends_with_the_process(client: Client, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=RATE_HZ).sessions[0].id
    with closing(client.sample_windows(session, interval_s=INTERVAL_S)) as told:
        for window in told:
            if any(window.states.values()):
                program.kill()
    assert client.session(session).state == "target_gone"


def test_windows_of_a_process_that_stands_still_say_so(
    client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=RATE_HZ).sessions[0].id
    why = f"process {program.pid} is stopped by a signal (state T: SIGSTOP, Ctrl-Z)"
    with closing(client.sample_windows(session, interval_s=INTERVAL_S)) as told:
        assert next(one for one in told if one.turns).standstill == ""
        os.kill(program.pid, signal.SIGSTOP)
        assert next(one.standstill for one in told if one.standstill) == why
        os.kill(program.pid, signal.SIGCONT)
        assert next(one for one in told if one.turns and not one.standstill)


def test_a_session_of_one_reader_ends_with_the_reader(
    client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=RATE_HZ).sessions[0].id
    with closing(client.sample_windows(session)) as kept:
        next(kept)
        with closing(client.sample_windows(session, interval_s=INTERVAL_S, stop_at_end=True)) as told:
            next(told)
            next(told)
            assert client.session(session).state == "running"
        assert becomes(lambda: client.session(session).state == "stopped", LIMIT_S)
        # The others are told of the end as of any.
        assert total(list(kept)) > 0


def test_a_session_that_was_begun_for_a_reader_who_never_came_ends_by_itself(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    words = [sys.executable, "-c", DYING_READER, str(daemon.socket), str(program.pid)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    session = daemon.latest_session()
    assert becomes(lambda: client.session(session).state == "stopped", LIMIT_S)
    assert client.session(session).latest_profile


def test_a_reader_who_came_keeps_the_session_until_he_goes(
    client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=RATE_HZ, duration_s=BOUND_S).sessions[0]
    with closing(client.sample_windows(session.id, interval_s=INTERVAL_S, stop_at_end=True)) as told:
        for window in told:
            if window.ended_at > session.started_at + BOUND_S + CLIENT_GRACE_S + 1.0:
                break
        assert client.session(session.id).state == "running"
    assert becomes(lambda: client.session(session.id).state == "stopped", LIMIT_S)


def test_what_is_looked_at_is_named_as_everywhere(client: Client, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "alternating")
    with pytest.raises(NotFound):
        next(client.sample_windows(program.pid))
    recording = client.attach(program.pid, sample=True, name="of-a-name")
    (session,) = recording.sessions
    for word in ("", program.pid, session.id, session.group, "of-a-name", "alternating"):
        with closing(client.sample_windows(word)) as told:
            assert next(told).session == session.id
    other = client.attach(program.pid, sample=True).sessions[0].id
    with pytest.raises(Ambiguous, match=other):
        next(client.sample_windows())
    with closing(client.sample_windows(program.pid)) as told:
        # The one that began last.
        assert next(told).session == other
    client.stop(other)
    with pytest.raises(NotFound, match="has ended"):
        next(client.sample_windows(other))
    recording.end()


@pytest.mark.parametrize("interval_s", [0.1, 61.0])
def test_a_window_has_its_limits(
    client: Client, spawn: Spawn, local_interpreter: Interpreter, interval_s: float
) -> None:
    program = spawn(local_interpreter, "busy")
    with client.attach(program.pid, sample=True) as recording:
        with pytest.raises(UsageError, match="200 to 60000 ms"):
            next(client.sample_windows(recording.sessions[0].id, interval_s=interval_s))
        assert client.session(recording.sessions[0].id).state == "running"


def test_a_session_of_calls_has_no_windows(client: Client, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "busy")
    with client.attach(program.pid, profile=True) as recording:
        with pytest.raises(UsageError, match="not of samples, its collector is calls"):
            next(client.sample_windows(recording.sessions[0].id))
        with pytest.raises(NotFound):
            next(client.sample_windows(program.pid))


def test_an_agent_that_leaves_when_its_time_is_over_ends_no_session_of_samples(
    client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, keep_s=60.0).sessions[0].id
    with client.attach(program.pid, profile=True):
        pass
    assert client.session(session).state == "running"
    # Whoever asks for it ends all that is recorded of the process.
    client.attach(program.pid, profile=True)
    assert session in {one.id for one in client.detach(program.pid).sessions}
    assert client.session(session).state == "stopped"


def test_an_always_on_recording_is_looked_at_too(
    daemon: Daemon, client: Client, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "busy")
    session = client.attach(program.pid, sample=True, rate_hz=100, keep_s=1.0).sessions[0].id
    with closing(client.sample_windows(session, interval_s=INTERVAL_S)) as told:
        windows = [next(told) for _ in range(20)]
    assert total(windows) > 0
    assert json.loads(daemon.execctl("sessions", "--json"))["sessions"][0]["state"] == "running"
    client.stop(session)
