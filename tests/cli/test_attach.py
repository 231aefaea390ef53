"""`execctl attach`."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import REPORT, error_detail, make_session, make_target
from execd_api.v1 import sessions_pb2, targets_pb2

if TYPE_CHECKING:
    from cli.conftest import Run, Start
    from cli.fake_daemon import FakeDaemon


def test_attach_without_a_mode_lists_the_modes_and_asks_nothing(run: Run, daemon: FakeDaemon) -> None:
    result = run("attach", "4711", "--duration", "1s")
    assert result.exit_code == 2
    assert "--profile     count and time every call" in result.stderr
    assert daemon.script.calls() == []


def test_attach_asks_for_the_calls_collector_with_its_options(run: Run, daemon: FakeDaemon) -> None:
    result = run("attach", "4711", "--profile", "--no-builtins", "--attach-timeout", "500ms", "--name", "slow")
    asked = daemon.script.request("Targets.Attach")
    assert result.exit_code == 0
    assert (asked.target, asked.timeout_ms, asked.name) == ("4711", 500, "slow")
    assert asked.sessions[0].collector == "calls"
    assert json.loads(asked.sessions[0].options_json) == {"builtins": False, "subcalls": True}


def test_attach_passes_a_name_on_as_it_is(run: Run, daemon: FakeDaemon) -> None:
    run("attach", "server.py", "--profile")
    assert daemon.script.request("Targets.Attach").target == "server.py"


def test_attach_prints_the_session_and_suggests_what_comes_next(run: Run) -> None:
    result = run("attach", "4711", "--profile")
    assert result.stdout == "s1\n"
    assert "attached to process 4711 (Python 3.11.7) by pending call" in result.stderr
    assert "next: execctl report s1\nnext: execctl stop s1\nnext: execctl detach 4711\n" in result.stderr


def test_attach_says_when_the_daemon_did_not_take_the_name(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(
        target=make_target(), sessions=[make_session()]
    )
    assert "did not take the name slow" in run("attach", "4711", "--profile", "--name", "slow").stderr


def test_attach_says_that_it_waits_for_a_safe_point(start: Start, daemon: FakeDaemon) -> None:
    daemon.script.attachable.clear()
    process = start("--socket", str(daemon.socket), "attach", "4711", "--profile")
    assert process.stderr is not None
    assert "queued: waiting up to 10.0 s for 4711" in process.stderr.readline()
    assert process.stderr.readline() == "4711: its main thread is in system call read\n"
    daemon.script.attachable.set()
    assert process.communicate(timeout=20)[0] == "s1\n"


def test_attach_says_where_the_target_is_each_time_that_changes(start: Start, daemon: FakeDaemon) -> None:
    daemon.script.attachable.clear()
    places = itertools.chain(("running code", "running code"), itertools.repeat("in system call poll"))
    daemon.script.answers["Targets.Inspect"] = lambda _request: targets_pb2.Candidate(place=next(places))
    process = start("--socket", str(daemon.socket), "attach", "4711", "--profile")
    assert process.stderr is not None
    assert [process.stderr.readline() for _ in range(3)][1:] == [
        "4711: its main thread is running code\n",
        "4711: its main thread is in system call poll\n",
    ]
    daemon.script.attachable.set()
    assert process.communicate(timeout=20)[0] == "s1\n"


def test_attach_waits_on_where_the_place_is_not_told(start: Start, daemon: FakeDaemon) -> None:
    daemon.script.attachable.clear()
    daemon.script.answers["Targets.Inspect"] = error_detail("not_found", 9)
    process = start("--socket", str(daemon.socket), "attach", "4711", "--profile")
    assert process.stderr is not None
    assert "queued" in process.stderr.readline()
    daemon.script.attachable.set()
    stdout, stderr = process.communicate(timeout=20)
    assert (stdout, "main thread" in stderr) == ("s1\n", False)


@pytest.mark.parametrize("more", [(), ("--allow-seccomp",)])
def test_attach_asks_for_filters_to_be_allowed_only_when_told(run: Run, daemon: FakeDaemon, more: tuple[str]) -> None:
    run("attach", "4711", "--profile", *more)
    assert daemon.script.request("Targets.Attach").allow_seccomp == bool(more)


def test_a_quick_attach_says_nothing_of_waiting(run: Run) -> None:
    assert "waiting" not in run("attach", "4711", "--profile").stderr


def test_duration_shows_the_top_then_nothing_is_left_in_the_target(run: Run, daemon: FakeDaemon) -> None:
    result = run("attach", "4711", "--profile", "--duration", "200ms")
    assert result.exit_code == 0
    assert result.stdout == REPORT.decode()
    rest = ["Sessions.Overhead", "Sessions.Watch", "Sessions.Stop", "Targets.Detach", "Reports.Render"]
    assert daemon.script.calls() == ["Targets.Attach", *rest]
    assert "left in the target: one inert at-fork stub" in result.stderr


def test_duration_asks_for_the_fifteen_most_costly_of_the_last_profile(run: Run, daemon: FakeDaemon) -> None:
    run("attach", "4711", "--profile", "--duration", "50ms")
    asked = daemon.script.request("Reports.Render")
    assert (asked.subject, asked.format, list(asked.limit)) == ("p7", "text", ["15"])


def test_duration_leaves_an_agent_alone_that_was_there_before(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(
        target=make_target(), sessions=[make_session()], joined=True
    )
    result = run("attach", "4711", "--profile", "--duration", "50ms")
    assert "Sessions.Stop" in daemon.script.calls()
    assert "Targets.Detach" not in daemon.script.calls()
    assert "joined the agent" in result.stderr


def test_duration_detaches_where_the_stop_fails(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Sessions.Stop"] = error_detail("store_full", 8)
    result = run("attach", "4711", "--profile", "--duration", "50ms")
    assert result.exit_code == 8
    assert daemon.script.calls()[-1] == "Targets.Detach"


@pytest.mark.parametrize(
    ("state", "exit_code"),
    [
        (sessions_pb2.SESSION_STATE_TARGET_GONE, 4),
        (sessions_pb2.SESSION_STATE_FAILED, 8),
        (sessions_pb2.SESSION_STATE_INTERRUPTED, 8),
    ],
)
def test_a_session_that_ends_early_shows_its_data_and_fails(
    run: Run, daemon: FakeDaemon, state: sessions_pb2.SessionState.ValueType, exit_code: int
) -> None:
    ended = make_session(state=state, reason="killed by SIGKILL", latest_profile="p7")
    daemon.script.answers["Sessions.Watch"] = [ended]
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=[ended])
    result = run("attach", "4711", "--profile", "--duration", "1h")
    assert (result.exit_code, result.stdout) == (exit_code, REPORT.decode())
    assert "killed by SIGKILL" in result.stderr


@pytest.mark.parametrize("text", ["30", "", "-1s", "0s", "5 parsecs", "1e3s", "9999h"])
def test_a_duration_that_is_none_is_a_usage_error(run: Run, daemon: FakeDaemon, text: str) -> None:
    result = run("attach", "4711", "--profile", f"--duration={text}")
    assert (result.exit_code, daemon.script.calls()) == (2, [])


def test_ctrl_c_ends_a_duration_early_and_keeps_the_data(start: Start, daemon: FakeDaemon) -> None:
    watched = threading.Event()

    def note_watch(_: object) -> list[sessions_pb2.Session]:
        watched.set()
        return [make_session()]

    release = threading.Event()
    daemon.script.answers["Sessions.Watch"] = lambda request: _then_wait(note_watch(request), release)
    process = start("--socket", str(daemon.socket), "attach", "4711", "--profile", "--duration", "1h")
    assert watched.wait(20)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    release.set()
    assert (process.returncode, stdout) == (130, REPORT.decode())
    assert "interrupted after" in stderr
    assert "Traceback" not in stderr
    assert daemon.script.calls()[-3:] == ["Sessions.Stop", "Targets.Detach", "Reports.Render"]


def _then_wait(first: list[sessions_pb2.Session], release: threading.Event):  # noqa: ANN202 - a generator
    yield from first
    release.wait(30)


def test_ctrl_c_while_the_attach_waits_gives_it_up(start: Start, daemon: FakeDaemon) -> None:
    daemon.script.attachable.clear()
    process = start("--socket", str(daemon.socket), "attach", "4711", "--profile")
    assert process.stderr is not None
    assert "waiting" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    daemon.script.attachable.set()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.endswith("execctl: interrupted\n")


@pytest.mark.parametrize("option", ["--include", "--exclude"])
def test_an_empty_pattern_is_refused(run: Run, option: str) -> None:
    result = run("attach", "4711", "--profile", option, " ")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': a pattern is empty" in result.stderr
