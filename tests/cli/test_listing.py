"""The commands that list: ps, sessions, profiles."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import STOPPED, make_profile, make_session, make_target
from execctl.convert import STATES, state_name
from execd_api.v1 import profiles_pb2, sessions_pb2, targets_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon


def test_ps_shows_a_process_a_line(run: Run) -> None:
    result = run("ps")
    head, line = result.stdout.splitlines()
    assert head.split() == ["PID", "USER", "PYTHON", "ATTACHED", "COMMAND", "REASON"]
    assert line.split() == ["4711", "www", "3.11.7", "no", "python", "server.py"]


def test_ps_shows_why_a_process_cannot_be_attached_to(run: Run, daemon: FakeDaemon) -> None:
    candidate = targets_pb2.Candidate(target=make_target(), user="bob", reason="belongs to bob")
    daemon.script.answers["Targets.List"] = targets_pb2.ListTargetsResponse(candidates=[candidate])
    assert run("ps").stdout.splitlines()[1].endswith("server.py  belongs to bob")


def test_ps_suggests_an_attach_on_stderr_only(run: Run) -> None:
    result = run("ps")
    assert "next: execctl attach PID --profile" in result.stderr
    assert "next:" not in result.stdout


def test_ps_json_holds_every_field_of_a_process(run: Run) -> None:
    (record,) = json.loads(run("ps", "--json").stdout)["targets"]
    assert record == {
        "pid": 4711,
        "start_ticks": 99,
        "boot_id": "b",
        "uid": 1000,
        "user": "www",
        "command_line": ["python", "server.py"],
        "executable": "/usr/bin/python3.11",
        "python_version": "3.11.7",
        "in_other_root": False,
        "attached": False,
        "reason": "",
    }


def test_sessions_asks_for_those_that_go_on(run: Run, daemon: FakeDaemon) -> None:
    assert run("sessions").stdout.splitlines()[1].startswith("s1 ")
    assert all(request.running_only for _, request in daemon.script.asked)


def test_sessions_all_asks_for_those_that_ended_too(run: Run, daemon: FakeDaemon) -> None:
    run("sessions", "--all")
    assert not daemon.script.asked[0][1].running_only


def test_sessions_says_why_one_ended(run: Run, daemon: FakeDaemon) -> None:
    ended = make_session(state=sessions_pb2.SESSION_STATE_TARGET_GONE, reason="process 4711 has ended")
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(sessions=[ended])
    head, line = run("sessions", "--all").stdout.splitlines()
    assert head.endswith("REASON")
    assert line.endswith("process 4711 has ended")


def test_sessions_says_how_long_those_that_go_on_have_lasted(run: Run, daemon: FakeDaemon) -> None:
    began = [make_session(id=name, started_at=time.time() - 120) for name in ("s2", "s3")]
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(sessions=began)
    head, *rows = run("sessions").stdout.splitlines()
    lasted = slice(head.index("LASTED"), head.index("PROFILE"))
    assert all(re.fullmatch(r"\d+ min \d+ s", row[lasted].strip()) for row in rows), rows


def test_sessions_json_gives_options_as_values_and_no_end_as_null(run: Run) -> None:
    (record,) = json.loads(run("sessions", "--json").stdout)["sessions"]
    assert record["options"] == {"builtins": True}
    assert record["ended_at"] is None
    assert record["state"] == "running"


def test_what_was_imported_is_called_so_and_is_of_no_process(run: Run, daemon: FakeDaemon) -> None:
    imported = make_session(pid=0, form="imported", state=STOPPED, ended_at=1_700_000_000.0, latest_profile="p1")
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(sessions=[imported])
    row = run("sessions", "--all").stdout.splitlines()[1].split()
    assert row[:5] == ["s1", "-", "calls", "imported", "imported"]
    assert "0.0" not in row


def test_a_group_that_waits_for_processes_is_listed_with_what_ends_it(run: Run, daemon: FakeDaemon) -> None:
    spec = sessions_pb2.SessionSpec(collector="samples", options_json='{"keep_s": 900.0}', labels={"env": "prod"})
    group = sessions_pb2.OpenGroup(id="g3", name="nightly", spec=spec, started_at=1_700_000_000.0)
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(open_groups=[group])
    result = run("sessions", "--label", "env=prod")
    row = result.stdout.splitlines()[1]
    assert row.split()[:5] == ["g3", "nightly", "-", "samples", "waits"]
    assert row.endswith("for Python processes that come: execctl stop g3 ends it with all of its sessions")
    assert "no session goes on" not in result.stderr
    assert all(dict(request.labels) == {"env": "prod"} for _, request in daemon.script.asked)
    told = json.loads(run("sessions", "--json").stdout)
    assert told["sessions"] == []
    assert told["open_groups"] == [
        {
            "id": "g3",
            "name": "nightly",
            "collector": "samples",
            "options": {"keep_s": 900.0},
            "started_at": 1_700_000_000.0,
            "labels": {"env": "prod"},
        }
    ]


def test_sessions_says_when_none_goes_on(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse()
    result = run("sessions")
    assert "--all lists those that ended" in result.stderr
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", [("sessions",), ("profiles",)])
def test_a_list_that_was_cut_says_so(run: Run, command: tuple[str, ...]) -> None:
    assert "--limit shows more" in run(*command, "--limit", "1").stderr


def test_every_state_of_the_contract_has_its_name() -> None:
    prefix = "SESSION_STATE_"
    named = {name.removeprefix(prefix).lower(): number for name, number in sessions_pb2.SessionState.items()}
    assert {state_name(make_session(state=number)) for number in named.values()} == set(named) == set(STATES)


def test_profiles_lists_those_of_a_session(run: Run, daemon: FakeDaemon) -> None:
    result = run("profiles", "s1")
    assert result.stdout.splitlines()[1].split()[:3] == ["p7", "s1", "4711"]
    assert daemon.script.request("Profiles.List").session == "s1"


def test_profiles_json_holds_every_field_of_a_profile(run: Run) -> None:
    (record,) = json.loads(run("profiles", "--json").stdout)["profiles"]
    names = {descriptor.name for descriptor in profiles_pb2.Profile.DESCRIPTOR.fields}
    assert set(record) == names
    assert record["nodes"] == make_profile().nodes
