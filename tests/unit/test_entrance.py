"""The entrance: who is let in, and what becomes of those who are not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.attach import entrance as entrances
from execd.attach.entrance import TAKEN, TOKEN_BYTES, Entrance, greet
from execd.attach.readiness import is_readable, wait
from execd.errors import AgentFailed, SocketPathTooLong

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = b"t" * TOKEN_BYTES
TIMEOUT_S = 10.0
UNIDENTIFIED = 64


def admit(token: bytes, connection: socket.socket) -> None:
    """Lets in who has the token."""
    if token != TOKEN:
        raise KeyError(token)
    connection.sendall(TAKEN)


@pytest.fixture
def entrance() -> Iterator[Entrance]:
    """An open one."""
    with tempfile.TemporaryDirectory(prefix="ex") as folder:
        made = Entrance(Path(folder) / "in", admit)
        yield made
        made.close()
        assert not made.path.exists()


def answer(entrance: Entrance, said: bytes) -> bytes:
    """What somebody gets who says something and then nothing more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(os.fspath(entrance.path))
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(100)


def test_who_has_a_token_is_let_in_and_nobody_else(entrance: Entrance) -> None:
    assert answer(entrance, TOKEN) == TAKEN
    assert answer(entrance, b"x" * TOKEN_BYTES) == b""
    assert answer(entrance, TOKEN[1:]) == b""
    assert answer(entrance, b"") == b""
    assert answer(entrance, TOKEN) == TAKEN


def test_the_socket_is_its_users_alone_and_replaces_one_that_was_left(entrance: Entrance) -> None:
    assert entrance.path.stat().st_mode & 0o777 == 0o600
    again = Entrance(entrance.path, admit)
    assert answer(again, TOKEN) == TAKEN
    again.close()


def test_a_path_that_the_kernel_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SocketPathTooLong):
        Entrance(tmp_path / ("x" * 108), admit)


def test_a_program_that_ends_without_an_agent_is_told_of() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(AgentFailed):
        greet(ours, b"modules", b"sources", "nonce")


def test_an_entrance_survives_that_there_are_too_many_open_files(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener: socket.socket = vars(entrance)["_listener"]
    refusals = [OSError(errno.EMFILE, "too many"), RuntimeError("can't start new thread")]

    class Full:
        """A listener that takes nobody, twice."""

        def accept(self) -> tuple[socket.socket, object]:
            if refusals:
                raise refusals.pop(0)
            return listener.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(listener, name)

    monkeypatch.setattr(entrance, "_listener", Full())
    # The first is accepted by the listener that was there before.
    assert [answer(entrance, TOKEN) for _ in range(2)] == [TAKEN, TAKEN]
    assert refusals == []


def test_those_who_say_nothing_are_waited_for_in_all_and_not_for_each_byte(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execd.attach.entrance._TOKEN_S", 0.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slow:
        slow.settimeout(TIMEOUT_S)
        slow.connect(os.fspath(entrance.path))
        said = 0
        while said < TOKEN_BYTES and not is_readable(slow.fileno(), 0.1):
            with contextlib.suppress(BrokenPipeError):  # it was just shut: the next look sees that
                slow.send(b"t")
            said += 1
    assert 0 < said < TOKEN_BYTES


def test_no_more_than_so_many_are_let_in_before_they_have_said_who_they_are(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execd.attach.entrance._TOKEN_S", 1.0)
    whole, lock = vars(entrances)["_token"], threading.Lock()
    within, counts = set[socket.socket](), list[int]()

    def counted(connection: socket.socket) -> bytes:
        with lock:
            within.add(connection)
            counts.append(len(within))
        try:
            token: bytes = whole(connection)
        finally:
            with lock:
                within.discard(connection)
        return token

    monkeypatch.setattr("execd.attach.entrance._token", counted)
    with contextlib.ExitStack() as connections:
        for _ in range(100):
            silent = connections.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            silent.connect(os.fspath(entrance.path))
        assert answer(entrance, TOKEN) == TAKEN
    assert len(counts) == 101
    assert max(counts) <= UNIDENTIFIED


def test_files_with_high_numbers_are_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2048), hard), hard))
        high = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 1100)
        try:
            assert wait(high, 0, to_write=True) == (False, True)
            assert not is_readable(high, 0.01)
            theirs.send(b"x")
            assert is_readable(high, 0)
        finally:
            os.close(high)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(ValueError, match="not open"):
        is_readable(high, 0)
