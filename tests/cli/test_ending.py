"""`execctl stop` and `execctl detach`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import STOPPED, make_session, make_target
from execctl.waiting import Ending
from execd_api.v1 import sessions_pb2, targets_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon


@pytest.mark.parametrize("selector", ["s1", "4711", ""])
def test_stop_passes_its_selector_on(run: Run, daemon: FakeDaemon, selector: str) -> None:
    result = run("stop", *([selector] if selector else []))
    assert daemon.script.request("Sessions.Stop").session == selector
    assert result.stdout.splitlines()[1].split() == ["s1", "4711", "calls", "stopped", "3.0", "s", "p7"]
    assert "next: execctl report p7" in result.stderr


def test_a_process_that_was_sampled_has_nothing_to_leave(run: Run, daemon: FakeDaemon) -> None:
    samples = sessions_pb2.SessionSpec(collector="samples", options_json="{}")
    stopped = make_session(state=STOPPED, latest_profile="p7", spec=samples)
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=[stopped])
    said = run("stop").stderr
    assert "next: execctl report p7" in said
    assert "detach" not in said


@pytest.mark.parametrize(
    ("states", "exit_code"),
    [
        (["STOPPED"], 0),
        (["STOPPED", "FAILED"], 8),
        (["INTERRUPTED"], 8),
        (["FAILED", "TARGET_GONE"], 4),
    ],
)
@pytest.mark.parametrize("command", ["stop", "detach"])
def test_the_exit_code_says_how_the_sessions_ended(
    run: Run, daemon: FakeDaemon, command: str, states: list[str], exit_code: int
) -> None:
    ended = [
        make_session(state=sessions_pb2.SessionState.Value(f"SESSION_STATE_{state}"), reason="the store is full")
        for state in states
    ]
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=ended)
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(
        target=make_target(), sessions=ended, was_attached=True
    )
    result = run(command, "4711")
    assert result.exit_code == exit_code
    assert result.stdout.splitlines()[1].endswith("the store is full")


def test_detach_lists_what_it_ended_and_what_stays(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(
        target=make_target(),
        sessions=[make_session(state=STOPPED, latest_profile="p9")],
        was_attached=True,
        residue=["the mapping of _core"],
    )
    result = run("detach", "4711")
    assert result.stdout.splitlines()[1].startswith("s1 ")
    assert "left in it: the mapping of _core\nnext: execctl report p9\n" in result.stderr


@pytest.mark.parametrize("command", ["stop", "detach"])
def test_the_end_of_several_sessions_names_one_report(run: Run, daemon: FakeDaemon, command: str) -> None:
    ended = [make_session(id=f"s{n}", state=STOPPED, latest_profile=f"p{n}" if n > 1 else "") for n in range(1, 4)]
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=ended)
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(
        target=make_target(), sessions=ended, was_attached=True
    )
    told = run(command, "4711").stderr.splitlines()
    assert [line for line in told if "execctl report" in line] == ["next: execctl report p2"]


@pytest.mark.parametrize(("collector", "what"), [("cover", "asking the target which lines"), ("calls", "storing it")])
def test_an_end_that_takes_long_says_once_what_it_waits_for(
    capsys: pytest.CaptureFixture[str], collector: str, what: str
) -> None:
    ending = Ending("s1", collector)
    ending.tell()
    ending.tell()
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"s1: has ended; {what}")


def test_detaching_from_a_process_without_agent_is_no_error(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(target=make_target())
    result = run("detach", "4711")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "was not attached to" in result.stderr


def test_a_detach_that_ends_no_session_says_where_the_ended_ones_are(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(target=make_target(), was_attached=True)
    result = run("detach", "4711")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "execctl sessions --all" in result.stderr


def test_a_recording_of_one_process_and_of_all_is_refused(run: Run) -> None:
    result = run("record", "4711", "--all")
    assert result.exit_code == 2
    assert "--all has process 4711 in it" in result.stderr


def test_a_name_that_starts_with_a_dash_goes_after_two_dashes(run: Run, daemon: FakeDaemon) -> None:
    refused = run("stop", "-weird")
    assert refused.exit_code == 2
    assert "goes after `--`" in refused.stderr
    assert run("stop", "--", "-weird").exit_code == 0
    assert daemon.script.request("Sessions.Stop").session == "-weird"
