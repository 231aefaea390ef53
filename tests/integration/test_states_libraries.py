"""An attach to others' frameworks: servers of uvloop and gevent, and numpy in a long call with the GIL held."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from activities import grown
from attachments import attached, detach, record_calls
from footprint import footprint, settled
from judged import packages

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
SOAK_TRIES = 20
REQUESTS = 20
CONNECT_S = 5.0


def require_echoes(connection: socket.socket, name: str) -> None:
    """Fails where a request is not answered as it must be."""
    for number in range(REQUESTS):
        line = f"{name} {number}\n".encode()
        connection.sendall(line)
        answer = b""
        while len(answer) < len(line):
            data = connection.recv(len(line) - len(answer))
            assert data
            answer += data
        assert answer == line


def require_unharmed_server(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, framework: str, tries: int
) -> None:
    """Fails where an attach changes what a server answers, on an old connection and on new ones."""
    program = spawn(interpreter, "serving", framework, packages(interpreter, framework))
    address = ("127.0.0.1", int(program.ready_text))
    with closing(socket.create_connection(address, CONNECT_S)) as old:
        require_echoes(old, "before")
        before = footprint(program.pid)
        for _ in range(tries):
            with attached(attacher, program.pid) as link:
                record_calls(link)
                require_echoes(old, "recorded")
                with closing(socket.create_connection(address, CONNECT_S)) as new:
                    require_echoes(new, "new")
                detach(link)
            require_echoes(old, "after")
            assert settled(program.pid, before) == before
    assert program.stderr() == ""


def require_unharmed_numpy(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, tries: int) -> None:
    """Fails where an attach does not come about between two calls, or changes a result."""
    program = spawn(interpreter, "crunching", packages(interpreter, "numpy"))
    grown(lambda: int(program.ask_json("count")[0]))
    before = footprint(program.pid)
    for _ in range(tries):
        with attached(attacher, program.pid) as link:
            record_calls(link)
            grown(lambda: int(program.ask_json("count")[0]))
            detach(link)
        assert settled(program.pid, before) == before
    assert program.ask_json("count")[1] == 0
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
@pytest.mark.parametrize("framework", ["uvloop", "gevent"])
def test_a_server_answers_as_before(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, framework: str) -> None:
    require_unharmed_server(interpreter, spawn, attacher, framework, 1)


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_numpy_in_a_long_call_is_waited_for(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    require_unharmed_numpy(interpreter, spawn, attacher, 1)


@pytest.mark.soak
@pytest.mark.parametrize("framework", ["uvloop", "gevent"])
def test_a_server_answers_as_before_through_twenty_attaches(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, framework: str
) -> None:
    require_unharmed_server(interpreter, spawn, attacher, framework, SOAK_TRIES)


@pytest.mark.soak
def test_numpy_is_unharmed_by_twenty_attaches(interpreter: Interpreter, spawn: Spawn, attacher: Attacher) -> None:
    require_unharmed_numpy(interpreter, spawn, attacher, SOAK_TRIES)
