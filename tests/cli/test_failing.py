"""How commands fail: message, remedy and exit code of every error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from cli.fake_daemon import HOSTILE, FakeDaemon, RawDetail, error_detail
from click.testing import CliRunner
from execctl.cli import cli
from execctl.client import Client
from execctl.commands.export import FORMATS
from execctl.errors import ClientError
from execctl.exits import ExitCode
from execd import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.conftest import Run


def subclasses(kind: type[errors.ExecdError]) -> Iterator[type[errors.ExecdError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


# An error whose exit code is 0 is none on the command line of execd, and never sent to execctl.
SENT = [kind for kind in subclasses(errors.ExecdError) if kind.exit_code]


@pytest.mark.parametrize("kind", SENT, ids=lambda kind: kind.kind)
def test_every_error_of_the_daemon_becomes_its_exit_code(
    run: Run, daemon: FakeDaemon, kind: type[errors.ExecdError]
) -> None:
    daemon.script.answers["Targets.List"] = error_detail(kind.kind, kind.exit_code)
    result = run("ps")
    assert result.exit_code == kind.exit_code
    assert result.stdout == ""
    assert result.stderr == f"execctl: this is {kind.kind}\ndo something about {kind.kind}\n"


@pytest.mark.parametrize("kind", SENT, ids=lambda kind: kind.kind)
def test_every_exit_code_of_the_daemon_is_in_the_table(kind: type[errors.ExecdError]) -> None:
    assert ExitCode(kind.exit_code)


def test_the_client_gives_every_part_of_an_error(daemon: FakeDaemon) -> None:
    daemon.script.answers["Sessions.Stop"] = error_detail("target_gone", 4, facts={"pid": "4711"})
    with Client(str(daemon.socket)) as client, pytest.raises(ClientError) as caught:
        client.stop("s1")
    error = caught.value
    assert (error.kind, error.message) == ("target_gone", "this is target_gone")
    assert (error.remedy, error.facts) == ("do something about target_gone", {"pid": "4711"})
    assert error.exit_code == 4


def test_the_candidates_of_an_ambiguous_name_are_listed(run: Run, daemon: FakeDaemon) -> None:
    facts = {"candidates": "s1, s2"}
    daemon.script.answers["Sessions.Stop"] = error_detail("ambiguous", 2, facts=facts)
    assert "\n  candidates: s1, s2\n" in run("stop").stderr


@pytest.mark.parametrize("exit_code", [0, -1, 256, 4711])
def test_an_exit_code_that_is_none_counts_as_internal(run: Run, daemon: FakeDaemon, exit_code: int) -> None:
    daemon.script.answers["Targets.List"] = error_detail("odd", exit_code)
    assert run("ps").exit_code == 10


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (grpc.StatusCode.UNAVAILABLE, 3),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 3),
        (grpc.StatusCode.UNIMPLEMENTED, 10),
        (grpc.StatusCode.INTERNAL, 10),
    ],
)
def test_a_status_without_detail_has_an_exit_code_and_a_remedy(
    run: Run, daemon: FakeDaemon, status: grpc.StatusCode, exit_code: int
) -> None:
    daemon.script.answers["Targets.List"] = status
    result = run("ps")
    assert result.exit_code == exit_code
    message, remedy = result.stderr.splitlines()
    assert message.startswith("execctl: the ")
    assert "execd st" in remedy


@pytest.mark.parametrize("data", [b"", b"\xff" * 20])
def test_a_detail_that_says_nothing_counts_as_internal(run: Run, daemon: FakeDaemon, data: bytes) -> None:
    daemon.script.answers["Targets.List"] = RawDetail(data)
    assert run("ps").exit_code == 10


def test_no_daemon_and_no_start_is_told_with_a_remedy(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["--no-start", "--socket", str(tmp_path / "d.sock"), "ps"])
    assert result.exit_code == 3
    assert result.stderr.startswith(f"execctl: no daemon listens on {tmp_path}/d.sock\n")
    assert "execd start" in result.stderr


def test_a_stale_socket_counts_as_no_daemon(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "d.sock"):
        pass
    result = CliRunner().invoke(cli, ["--no-start", "--socket", str(tmp_path / "d.sock"), "ps"])
    assert result.exit_code == 3


def test_a_socket_path_that_is_too_long_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 108)
    result = CliRunner().invoke(cli, ["--socket", str(path), "ps"])
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert "107 is the limit" in result.stderr


@pytest.mark.parametrize("name", ["with space", "100%41", "h#sh?query", "üml"])
def test_a_socket_path_may_hold_what_means_something_in_a_uri(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = tmp_path / name / "d.sock"
    with FakeDaemon(path):
        result = CliRunner().invoke(cli, ["--no-start", "--socket", str(path), "ps"])
    assert result.exit_code == 0


def test_a_command_that_is_mistyped_gets_a_suggestion(run: Run) -> None:
    result = run("snapsot", "4711")
    assert result.exit_code == 2
    assert result.stderr == "execctl: No such command 'snapsot'. Did you mean snapshot?\nsee `execctl --help`\n"


def test_an_option_that_is_mistyped_gets_a_suggestion(run: Run) -> None:
    result = run("report", "--revers")
    assert result.exit_code == 2
    assert "--reverse" in result.stderr


def test_an_option_of_execctl_itself_after_the_command_is_told_its_place(run: Run) -> None:
    result = run("ps", "--no-start")
    assert result.exit_code == 2
    assert "write it before the command: `execctl --no-start ... ps`" in result.stderr


def test_a_bug_exits_with_10_and_shows_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError(HOSTILE)

    monkeypatch.setattr(Client, "processes", broken)
    result = run("ps")
    assert result.exit_code == 10
    assert "ZeroDivisionError: evil\\x1b[2J" in result.stderr
    assert "this is a bug in execctl" in result.stderr


def test_a_missing_choice_is_told_on_one_line(run: Run) -> None:
    result = run("export")
    assert result.exit_code == 2
    first, remedy = result.stderr.splitlines()
    assert first.endswith(f"Missing option '--format'. Choose from: {', '.join(FORMATS)}")
    assert remedy == "see `execctl export --help`"
