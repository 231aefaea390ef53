"""The daemon's end of the link to an agent that is silent, asked by several threads."""

from __future__ import annotations

import marshal
import socket
import threading
from typing import Any

import pytest
from execd.attach.channel import Channel
from execd.errors import AgentSilent
from execd_agent import wire

PID = 4711
LIMIT_S = 0.2
LONG_S = 30.0
HEADER_SIZE = 8
LOOKS = 2000
ENDING = b'{"event": "ending"}'


def next_request(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Return (number, message) of the next request."""
    head = connection.recv(HEADER_SIZE, socket.MSG_WAITALL)
    payload = connection.recv(int.from_bytes(head[:4], "little"), socket.MSG_WAITALL)
    return int.from_bytes(head[6:8], "little"), marshal.loads(payload)  # noqa: S302 - of ours


def answer_one(connection: socket.socket) -> None:
    """Answers one request."""
    number, _ = next_request(connection)
    connection.sendall(wire.encode_frame(wire.REPLY, number, b"{}"))


def fill(connection: socket.socket) -> int:
    """Sends until no more is taken; how many bytes."""
    connection.setblocking(False)
    sent = 0
    while True:
        try:
            sent += connection.send(b" ")
        except BlockingIOError:
            return sent


def test_whether_there_is_news_can_be_asked_while_another_thread_waits_for_an_answer() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, PID)
    waiting = threading.Thread(target=channel.request, args=("ping",), kwargs={"timeout_s": LONG_S})
    with theirs:
        waiting.start()
        # The request is there, so its thread waits for the answer.
        number, _ = next_request(theirs)
        asked = [channel.has_news() for _ in range(LOOKS)]
        theirs.sendall(wire.encode_frame(wire.REPLY, number, b"{}"))
        waiting.join()
    assert not any(asked)
    channel.close()
    assert channel.has_news()


def test_an_agent_that_reads_nothing_is_silent_where_nothing_of_a_request_was_sent() -> None:
    ours, theirs = socket.socketpair()
    # What was asked before, and is not read yet.
    filled = fill(ours)
    channel = Channel(ours, PID)
    with theirs:
        with pytest.raises(AgentSilent):
            channel.request("ping", timeout_s=LIMIT_S)
        theirs.recv(filled, socket.MSG_WAITALL)
        answering = threading.Thread(target=answer_one, args=(theirs,))
        answering.start()
        assert channel.request("ping", timeout_s=LONG_S).facts == {}
        answering.join()
        channel.close()


def test_a_late_answer_that_the_wait_for_the_end_has_taken_in_is_news() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, PID)
    with theirs:
        for _ in range(2):
            with pytest.raises(AgentSilent):
                channel.request("ping", timeout_s=LIMIT_S)
            assert not channel.has_news()
            answer_one(theirs)
            assert not channel.hear_of_end()
            assert channel.has_news()
        channel.close()


def test_an_end_behind_a_late_answer_is_heard_of() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, PID)
    with theirs:
        with pytest.raises(AgentSilent):
            channel.request("ping", timeout_s=LIMIT_S)
        number, _ = next_request(theirs)
        theirs.sendall(wire.encode_frame(wire.REPLY, number, b"{}") + wire.encode_frame(wire.EVENT, 0, ENDING))
        assert channel.hear_of_end()
        channel.close()
