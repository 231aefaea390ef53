"""Runs: what is made ready for a program, and how often a token is good."""

from __future__ import annotations

import io
import os
import socket
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, tree
from execd.attach.entrance import TAKEN
from execd.attach.startup import Places
from execd.errors import NotFound, NotSupported, UsageError
from execd.model.session import Session, SessionSpec, State
from execd.model.target import Target, TargetKey
from execd.sessions.armed import Armed, Running, header_of
from execd.sessions.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = Places(200, 201, b"/a:/b")
CALLS = [SessionSpec("calls")]
TIMEOUT_S = 10.0


class AnyStore:
    """A store with room, in which no name is taken."""

    def check_session_name(self, name: str) -> None:
        """Let it pass."""

    def check_room(self) -> None:
        """Let it pass."""


@pytest.fixture
def runs() -> Iterator[Runs]:
    """Those of a daemon without targets."""
    store: Any = AnyStore()
    nothing: Any = None
    with tempfile.TemporaryDirectory(prefix="ex") as folder:
        made = Runs(nothing, store, Path(folder) / "in", 30, lambda: 0.0)
        yield made
        made.close()


def test_a_token_is_good_once_and_a_program_without_an_agent_is_told_of(runs: Runs) -> None:
    prepared = runs.prepare(CALLS, "", "3.11.7", PLACES)
    answers = [said(prepared.socket, prepared.token.encode()) for _ in range(2)]
    assert answers == [TAKEN, b""]
    sessions, failure = runs.outcome(prepared.token)
    assert sessions == []
    assert failure.startswith("the program's interpreter did not start execd's agent")


def said(path: Path, token: bytes) -> bytes:
    """What comes back first."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(os.fspath(path))
        connection.sendall(token)
        return connection.recv(1)


@pytest.mark.parametrize("version", ["3.9.18", "3.11.7", "3.15.0rc1"])
def test_the_archive_holds_one_module_that_every_version_compiles(runs: Runs, version: str) -> None:
    content = runs.prepare(CALLS, "", version, PLACES).archive
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["sitecustomize.py"]
        source = archive.read("sitecustomize.py")
    assert compile(source, "sitecustomize.py", "exec")
    assert b"'before': b'/a:/b'" in source


@pytest.mark.parametrize("version", ["3.8.18", "3.16.0", "", "x.y", "3"])
def test_other_versions_are_refused(runs: Runs, version: str) -> None:
    with pytest.raises(NotSupported):
        runs.prepare(CALLS, "", version, PLACES)


def test_runs_that_go_on_are_not_forgotten_and_those_that_are_over_are(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execd.sessions.runs._KEPT", 2)
    over, *going_on = (runs.prepare(CALLS, "", "3.11.7", PLACES) for _ in range(3))
    assert said(over.socket, over.token.encode()) == TAKEN
    runs.outcome(over.token)
    going_on.append(runs.prepare(CALLS, "", "3.11.7", PLACES))
    monkeypatch.setattr("execd.sessions.runs.SETTLED_S", 0.01)
    assert all(runs.outcome(one.token) for one in going_on)
    with pytest.raises(NotFound):
        runs.outcome(over.token)


def test_what_fails_without_a_reason_of_its_own_is_in_the_log(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def greet(*_given: object) -> None:
        raise KeyError("of no token")

    monkeypatch.setattr("execd.sessions.runs.greet", greet)
    prepared = runs.prepare(CALLS, "", "3.11.7", PLACES)
    assert said(prepared.socket, prepared.token.encode()) == b""
    assert runs.outcome(prepared.token) == ([], "execd failed; its log says why")
    assert "of no token" in caplog.text


def test_nothing_to_record_is_refused_and_an_unknown_token_is_not_found(runs: Runs) -> None:
    with pytest.raises(UsageError):
        runs.prepare([], "", "3.11.7", PLACES)
    with pytest.raises(NotFound):
        runs.outcome("0" * 32)


@pytest.mark.parametrize(("from_first_line", "joined", "told"), [(True, False, 0), (True, True, 1), (False, False, 1)])
def test_what_was_recorded_from_the_first_line_on_lacks_nothing_from_before(
    *, from_first_line: bool, joined: bool, told: int
) -> None:
    armed = Armed("calls", "calls", {}, "native", (), {"s1"}, 1.0, from_first_line=from_first_line)
    target = Target(TargetKey("b", 4711, 9), 1000, ("python3", "work.py"), "", "3.12.1")
    session = Session("s1", "", "g1", target, SessionSpec("calls"), "native", State.RUNNING, 1.0)
    running = Running(session, armed, tree([Node(-1, "main")]) if joined else None)
    assert ["since the attach" in one for one in header_of(target, running, 2.0).caveats] == [True] * told
