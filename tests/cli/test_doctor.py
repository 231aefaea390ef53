"""`execctl doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import HOSTILE, error_detail, make_target
from execctl.convert import OUTCOMES, outcome_name
from execd_api.v1 import targets_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon

PASSED = targets_pb2.Check(name="alive", outcome=targets_pb2.OUTCOME_PASSED, detail="it lives")
FAILED = targets_pb2.Check(
    name="not stopped",
    outcome=targets_pb2.OUTCOME_FAILED,
    detail="process 4711 is stopped by a signal",
    remedy="let it run: kill -CONT 4711",
    exit_code=5,
)
LATER = targets_pb2.Check(name="CPython", outcome=targets_pb2.OUTCOME_FAILED, detail="none", exit_code=6)


def answer(daemon: FakeDaemon, *checks: targets_pb2.Check) -> None:
    """Has the daemon find these checks."""
    daemon.script.answers["Targets.Inspect"] = targets_pb2.Candidate(
        target=make_target(), place="in system call read", checks=checks
    )


def test_doctor_asks_for_every_check_and_attaches_to_nothing(run: Run, daemon: FakeDaemon) -> None:
    run("doctor", "server.py", "--allow-seccomp")
    assert daemon.script.calls() == ["Targets.Inspect"]
    asked = daemon.script.request("Targets.Inspect")
    assert (asked.target, asked.every_check, asked.allow_seccomp) == ("server.py", True, True)


def test_doctor_shows_each_check_with_what_was_found(run: Run, daemon: FakeDaemon) -> None:
    answer(daemon, PASSED)
    result = run("doctor", "4711")
    assert result.exit_code == 0
    head, line = result.stdout.splitlines()
    assert head.split() == ["CHECK", "OUTCOME", "FOUND", "REMEDY"]
    assert line.split() == ["alive", "pass", "it", "lives"]
    assert "its main thread is in system call read" in result.stderr
    assert "next: execctl attach 4711 --profile" in result.stderr


def test_doctor_ends_with_the_code_of_the_first_check_that_fails(run: Run, daemon: FakeDaemon) -> None:
    answer(daemon, PASSED, FAILED, LATER)
    result = run("doctor", "4711")
    assert result.exit_code == 5
    assert "stopped by a signal  let it run: kill -CONT 4711" in result.stdout
    assert "next:" not in result.stderr


def test_doctor_json_holds_the_process_and_every_field_of_a_check(run: Run, daemon: FakeDaemon) -> None:
    answer(daemon, PASSED, FAILED)
    result = run("doctor", "4711", "--json")
    record = json.loads(result.stdout)
    assert (result.exit_code, record["exit_code"], record["pid"]) == (5, 5, 4711)
    assert record["place"] == "in system call read"
    assert [check["outcome"] for check in record["checks"]] == ["pass", "fail"]
    assert set(record["checks"][0]) == {descriptor.name for descriptor in targets_pb2.Check.DESCRIPTOR.fields}


def test_doctor_fails_as_the_daemon_does(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Inspect"] = error_detail("target_gone", 4)
    assert run("doctor", "4711").exit_code == 4


def test_doctor_shows_nothing_of_a_target_as_it_is(run: Run, daemon: FakeDaemon) -> None:
    answer(daemon, targets_pb2.Check(name="CPython", outcome=targets_pb2.OUTCOME_PASSED, detail=HOSTILE))
    assert "\x1b" not in run("doctor", "4711").stdout


@pytest.mark.parametrize("number", list(targets_pb2.Outcome.values()))
def test_every_outcome_of_the_contract_has_its_name(number: targets_pb2.Outcome.ValueType) -> None:
    assert outcome_name(targets_pb2.Check(outcome=number)) == OUTCOMES[number]
