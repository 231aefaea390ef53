"""Doors, against agents that send what is none, and children that bring what is no connection: nothing is kept open."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from execd.attach import ancillary
from execd.attach.channel import Channel
from execd.attach.door import Door
from execd.errors import AgentFailed, ExecdError
from execd_agent import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIMEOUT_S = 10.0
PID = 4711
NONCE = "-0f"


@pytest.fixture(autouse=True)
def nothing_kept_open() -> Iterator[None]:
    """Fails a test after which more is open than before."""
    before = opened()
    yield
    assert opened() == before


def opened() -> list[str]:
    """What is open, by number."""
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- names are all that counts
        with suppress(FileNotFoundError):
            found.append(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")  # noqa: PTH115 -- as above
    return sorted(one for one in found if "/fd" not in one)


@contextmanager
def door() -> Iterator[tuple[Door, socket.socket]]:
    """A door, and its other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with theirs:
        opened_door = Door(ours.detach())
        try:
            yield opened_door, theirs
        finally:
            opened_door.close()


def send_files(through: socket.socket, data: bytes, files: Sequence[int]) -> None:
    """Sends files, and closes them here."""
    socket.send_fds(through, [data], files)
    ancillary.drop(files)


def test_a_child_is_known_by_what_the_kernel_says_of_it() -> None:
    with door() as (ours, theirs):
        one, other = socket.socketpair()
        send_files(theirs, b"\1", [one.detach()])
        (arrival,) = ours.arrivals()
        assert (arrival.pid, arrival.uid) == (os.getpid(), os.geteuid())
        with arrival.connection, other:
            other.sendall(b"hello")
            assert arrival.connection.recv(5) == b"hello"
            assert not arrival.connection.get_inheritable()


def no_connections() -> list[Callable[[], list[int]]]:
    """What is brought in a connection's place."""

    def pipe() -> list[int]:
        reading, writing = os.pipe()
        os.close(writing)
        return [reading]

    def file() -> list[int]:
        return [os.open("/proc/self/stat", os.O_RDONLY)]

    def tcp() -> list[int]:
        return [socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach()]

    def packets() -> list[int]:
        return [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()]

    def two() -> list[int]:
        return [one.detach() for one in socket.socketpair()]

    def many() -> list[int]:
        return [os.open("/proc/self/stat", os.O_RDONLY) for _ in range(50)]

    return [list, pipe, file, tcp, packets, two, many]


@pytest.mark.parametrize("made", no_connections(), ids=lambda made: str(made.__name__))
def test_what_is_no_connection_is_let_go_of(made: Callable[[], list[int]]) -> None:
    with door() as (ours, theirs):
        files = made()
        if files:
            send_files(theirs, b"\1", files)
        else:
            theirs.send(b"\1" * 1000)
        assert ours.arrivals() == []
        # Whoever comes behind it is let in.
        one, other = socket.socketpair()
        other.close()
        send_files(theirs, b"\1", [one.detach()])
        (arrival,) = ours.arrivals()
        arrival.connection.close()


def test_who_has_come_before_the_end_is_let_in_and_then_nobody() -> None:
    with door() as (ours, theirs):
        assert ours.arrivals() == []
        one, other = socket.socketpair()
        other.close()
        send_files(theirs, b"\1", [one.detach()])
        theirs.close()
        (arrival,) = ours.arrivals()
        arrival.connection.close()
        with pytest.raises(EOFError):
            ours.arrivals()


@pytest.mark.parametrize("made", no_connections()[1:5], ids=lambda made: str(made.__name__))
def test_what_an_agent_sends_that_is_no_door_is_let_go_of(made: Callable[[], list[int]]) -> None:
    with pytest.raises(AgentFailed, match="something else than a door"):
        Door(made()[0])


def test_of_an_agents_door_goes_on_to_its_channel() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, asked(lambda connection: send_files(connection, DOOR, [ours.detach()]) or answer(connection)) as call:
        followed = Door(call())
        theirs.close()
        with pytest.raises(EOFError):
            followed.arrivals()
        followed.close()


DOOR = wire.encode_frame(wire.EVENT, 0, b'{"event":"door"}')
ANSWER = wire.encode_frame(wire.REPLY, 1, b"{}")


def answer(connection: socket.socket) -> None:
    """Says that it follows."""
    connection.sendall(ANSWER)


def file() -> int:
    """Some file."""
    with tempfile.TemporaryFile() as made:
        return os.dup(made.fileno())


LIES: dict[str, tuple[Callable[[socket.socket], object], str]] = {
    "an answer without a door": (answer, "sent no door"),
    "a door that is only said": (lambda one: one.sendall(DOOR + ANSWER), "sent no door"),
    "a refusal with a file": (
        lambda one: send_files(one, wire.encode_frame(wire.FAILURE, 1, b'{"refused":true,"message":"no"}'), [file()]),
        "no",
    ),
    "another event with a file": (
        lambda one: send_files(one, wire.encode_frame(wire.EVENT, 0, b'{"event":"gate"}'), [file()]),
        "what it was not asked",
    ),
    "half a frame with a file": (lambda one: send_files(one, DOOR[:5], [file()]), "is gone"),
}


@contextmanager
def asked(act: Callable[[socket.socket], object]) -> Iterator[Callable[[], int]]:
    """A channel whose agent does something when it is asked to follow."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours, PID)

    def run() -> None:
        with theirs, suppress(OSError):
            theirs.recv(1 << 16)
            act(theirs)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: channel.follow(timeout_s=TIMEOUT_S, nonce=NONCE, dead_man_s=30)
    finally:
        thread.join()
        channel.close()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_door_is_an_error_and_its_file_is_let_go_of(lie: str) -> None:
    act, said = LIES[lie]
    with asked(act) as call, pytest.raises(ExecdError, match=said):
        call()


def test_of_two_doors_one_is_let_go_of() -> None:
    def act(connection: socket.socket) -> None:
        send_files(connection, DOOR, [file()])
        send_files(connection, ANSWER, [file()])

    with asked(act) as call:
        os.close(call())


def test_a_file_that_nobody_asked_for_is_let_go_of() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, PID)
        send_files(theirs, wire.encode_frame(wire.EVENT, 0, b'{"event":"ending"}'), [file()])
        assert channel.hear_of_end()
        channel.close()


def test_one_that_sends_for_ever_leaves_the_others_their_turn() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door = Door(ours.detach())
    with theirs:
        for _ in range(100):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
                theirs.sendmsg([b"\1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", one.fileno()))])
        found = [door.arrivals(), door.arrivals()]
        for one in found[0] + found[1]:
            one.connection.close()
    door.close()
    assert list(map(len, found)) == [64, 36]
