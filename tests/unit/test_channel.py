"""The daemon's end of the link, against agents that are slow, broken, hostile or gone."""

from __future__ import annotations

import json
import marshal
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import channel as channels
from execd.attach.channel import Channel
from execd.errors import AgentFailed, AgentSilent, CollectorRefused, ExecdError, TargetGone
from execd_agent import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PID = 4711
NONCE = "0f" * 8
# Of what a request may take: three times this is a failure of the limit, not of a busy machine.
LIMIT_S = 0.2
SLACK = 5
HEADER_SIZE = 8


class FakeAgent:
    """The other end of a channel, in a thread of its own, which runs one function on the socket."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel = Channel(ours, PID)
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self.channel.close()
        self._thread.join()
        self._theirs.close()

    def _run(self) -> None:
        try:
            self._act(self._theirs)
        except OSError:
            return  # the channel was closed: the test is over


@contextmanager
def agent(act: Callable[[socket.socket], None]) -> Iterator[Channel]:
    fake = FakeAgent(act)
    try:
        yield fake.channel
    finally:
        fake.close()


def next_request(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Return (number, message) of the next request."""
    head = connection.recv(HEADER_SIZE, socket.MSG_WAITALL)
    if len(head) < HEADER_SIZE:
        raise ConnectionResetError
    payload = connection.recv(int.from_bytes(head[:4], "little"), socket.MSG_WAITALL)
    return int.from_bytes(head[6:8], "little"), marshal.loads(payload)  # noqa: S302 - of ours


def wait_for_the_end(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        continue


def answering(*answers: Callable[[int], bytes]) -> Callable[[socket.socket], None]:
    """Return what an agent does that answers each request with the bytes made of its number."""

    def act(connection: socket.socket) -> None:
        for answer in answers:
            number, _ = next_request(connection)
            connection.sendall(answer(number))
        wait_for_the_end(connection)

    return act


def reply(facts: object = None) -> Callable[[int], bytes]:
    return lambda number: wire.encode_frame(wire.REPLY, number, json.dumps(facts or {}).encode())


def failure(facts: object) -> Callable[[int], bytes]:
    return lambda number: wire.encode_frame(wire.FAILURE, number, json.dumps(facts).encode())


def assert_closed(channel: Channel) -> None:
    with pytest.raises(TargetGone, match="closed"):
        channel.request("ping", timeout_s=LIMIT_S)
    assert channel.fileno() == -1


BREAKING = {
    "an unknown kind": lambda _number: b"\0\0\0\0\xff\0\0\0",
    "garbage": lambda _number: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another request's number": lambda number: reply()(number + 1),
    "a hello": lambda number: wire.encode_frame(wire.HELLO, number, b"{}"),
    "a request": lambda number: wire.encode_frame(wire.REQUEST, number, b"{}"),
    "bulk that was not announced": lambda number: wire.encode_frame(wire.BULK, number, b"x"),
    "no JSON": lambda number: wire.encode_frame(wire.REPLY, number, b"{"),
    "JSON that is no object": lambda number: wire.encode_frame(wire.REPLY, number, b"[1]"),
    "undecodable JSON": lambda number: wire.encode_frame(wire.REPLY, number, b"\xff\xfe\xfd"),
    "JSON nested too deeply": lambda number: wire.encode_frame(wire.REPLY, number, b"[" * 500_000),
    "a number of a million digits": lambda number: wire.encode_frame(wire.REPLY, number, b"9" * 1_000_000),
    "4 GB announced": lambda number: b"\xff\xff\xff\xff" + bytes((wire.REPLY, 0)) + number.to_bytes(2, "little"),
    "10 GB of bulk announced": lambda number: reply({"bulk": True})(number) + b"\0\xe4\x0b\x54\x05\0\0\0",
    "a reply where bulk belongs": lambda number: reply({"bulk": True})(number) + reply()(number),
    "bulk of another request": lambda number: (
        reply({"bulk": True})(number) + wire.encode_frame(wire.BULK, number + 1, b"x")
    ),
    "a failure that is no object": lambda number: wire.encode_frame(wire.FAILURE, number, b"7"),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_breaks_the_protocol_is_an_error_and_closes_the_channel(what: str) -> None:
    with agent(answering(BREAKING[what])) as channel:
        with pytest.raises(AgentFailed, match=f"process {PID} broke the protocol") as caught:
            channel.request("ping", timeout_s=LIMIT_S * SLACK)
        assert caught.value.facts == {"pid": str(PID)}
        assert_closed(channel)


def test_a_silent_agent_costs_the_time_limit_and_no_more() -> None:
    with agent(wait_for_the_end) as channel:
        began = time.monotonic()
        with pytest.raises(AgentSilent, match="did not answer in time"):
            channel.request("ping", timeout_s=LIMIT_S)
        assert LIMIT_S * 0.9 <= time.monotonic() - began < LIMIT_S * SLACK
        assert not channel.has_news()


def late(connection: socket.socket) -> None:
    """Says nothing to two requests, and at the third answers all in their order, the second with bulk."""
    numbers = [next_request(connection)[0] for _ in range(3)]
    connection.sendall(reply({"of": 1})(numbers[0]))
    connection.sendall(reply({"bulk": True})(numbers[1]) + b"".join(wire.encode_bulk(numbers[1], b"stale")))
    connection.sendall(reply({"of": 3})(numbers[2]))
    number, _ = next_request(connection)
    connection.sendall(reply({"of": 4})(number))
    wait_for_the_end(connection)


def test_answers_that_come_late_are_dropped_and_the_next_one_is_the_right_one() -> None:
    with agent(late) as channel:
        for _ in range(2):
            with pytest.raises(AgentSilent):
                channel.request("ping", timeout_s=LIMIT_S / 4)
        assert channel.request("ping", timeout_s=LIMIT_S * SLACK).facts == {"of": 3}
        assert channel.request("ping", timeout_s=LIMIT_S * SLACK).facts == {"of": 4}


def test_an_agent_that_never_answers_is_asked_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_ABANDONED_LIMIT", 3)
    with agent(wait_for_the_end) as channel:
        for _ in range(3):
            with pytest.raises(AgentSilent):
                channel.request("ping", timeout_s=0.01)
        with pytest.raises(AgentFailed, match="has not answered 3 requests"):
            channel.request("ping", timeout_s=0.01)
        assert_closed(channel)


def drip(connection: socket.socket) -> None:
    number, _ = next_request(connection)
    connection.sendall(wire.encode_frame(wire.REPLY, number, b"{" + b" " * 1000)[:8])
    while True:
        connection.sendall(b" ")
        time.sleep(0.001)


def flood_with_empty_parts(connection: socket.socket) -> None:
    number, _ = next_request(connection)
    connection.sendall(reply({"bulk": True})(number))
    parts = wire.encode_frame(wire.BULK, number, b"", wire.MORE) * 4096
    while True:
        connection.sendall(parts)


@pytest.mark.parametrize("act", [drip, flood_with_empty_parts])
def test_an_agent_that_never_comes_to_an_end_does_not_outlast_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[socket.socket], None]
) -> None:
    """Reads are counted: how long the last one and its 32,768 frames take is the machine's affair."""
    ends: list[float] = []
    late: list[float] = []
    read = Channel._read  # noqa: SLF001 - to count its calls

    def act_once_asked(connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)
        # The channel took its own time before it asked.
        ends.append(time.monotonic() + LIMIT_S)
        act(connection)

    def counted(channel: Channel) -> bytes:
        late.extend(end for end in ends if end < time.monotonic())
        assert len(late) <= 1
        return read(channel)

    monkeypatch.setattr(Channel, "_read", counted)
    with agent(act_once_asked) as channel:
        with pytest.raises(AgentFailed, match="did not come to an end in time"):
            channel.request("snapshot", timeout_s=LIMIT_S)
        assert ends
        assert_closed(channel)


def test_an_agent_that_does_not_read_costs_the_time_limit() -> None:
    release = threading.Event()
    with agent(lambda _connection: bool(release.wait())) as channel:  # type: ignore[arg-type, return-value]
        began = time.monotonic()
        with pytest.raises(AgentFailed, match="does not read"):
            channel.request("start", timeout_s=LIMIT_S, options="x" * (8 << 20))
        assert time.monotonic() - began < LIMIT_S * SLACK
        release.set()
        assert_closed(channel)


@pytest.mark.parametrize("limit", ["of the channel", "of the protocol"])
def test_bulk_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    if limit == "of the protocol":
        monkeypatch.setattr(wire, "MAX_BULK", 1000)
    part = bytes(400)

    def too_much(number: int) -> bytes:
        return reply({"bulk": True})(number) + wire.encode_frame(wire.BULK, number, part, wire.MORE) * 3

    with agent(answering(too_much)) as channel:
        channel.bulk_limit = 1000 if limit == "of the channel" else 1 << 30
        with pytest.raises(AgentFailed, match="larger than"):
            channel.request("snapshot", timeout_s=LIMIT_S * SLACK)
        assert "larger than" in channel.breach
        assert_closed(channel)


@pytest.mark.parametrize("announced", [1, "true", {"bulk": True}])
def test_bulk_is_announced_by_true_alone(announced: object) -> None:
    with agent(answering(reply({"bulk": announced}))) as channel:
        assert channel.request("ping", timeout_s=LIMIT_S * SLACK).bulk == b""


def test_bulk_in_parts_arrives_whole() -> None:
    payload = bytes(range(256)) * 10_000

    def answer(number: int) -> bytes:
        return reply({"bulk": True})(number) + b"".join(wire.encode_bulk(number, payload))

    with agent(answering(answer, reply({"n": 2}))) as channel:
        assert channel.request("snapshot", timeout_s=LIMIT_S * 25).bulk == payload
        assert channel.request("ping", timeout_s=LIMIT_S * 25).facts == {"n": 2}


def test_an_agent_that_hangs_up_is_a_target_gone() -> None:
    with agent(lambda connection: connection.close()) as channel:
        with pytest.raises(TargetGone, match=f"process {PID}"):
            channel.request("ping", timeout_s=LIMIT_S * SLACK)
        assert_closed(channel)


def test_an_agent_that_hangs_up_in_the_midst_of_a_frame_is_a_target_gone() -> None:
    def half(connection: socket.socket) -> None:
        number, _ = next_request(connection)
        connection.sendall(reply()(number)[:-1])
        connection.close()

    with agent(half) as channel, pytest.raises(TargetGone):
        channel.request("ping", timeout_s=LIMIT_S * SLACK)


REFUSAL = {"refused": True, "message": "a profiler written in C is active"}


def test_a_refusal_says_why_and_leaves_the_channel_usable() -> None:
    with agent(answering(failure(REFUSAL), reply({"fine": True}))) as channel:
        with pytest.raises(CollectorRefused, match="written in C"):
            channel.request("start", timeout_s=LIMIT_S * SLACK)
        assert channel.request("ping", timeout_s=LIMIT_S * SLACK).facts == {"fine": True}


@pytest.mark.parametrize("refused", [False, None, 1, "yes"])
def test_a_failure_that_is_no_refusal_leaves_the_channel_usable(refused: object) -> None:
    answers = (failure({"refused": refused, "message": "KeyError: 'x'"}), reply({"fine": True}))
    with agent(answering(*answers)) as channel:
        with pytest.raises(AgentFailed, match="KeyError"):
            channel.request("stop", timeout_s=LIMIT_S * SLACK)
        assert channel.request("ping", timeout_s=LIMIT_S * SLACK).facts == {"fine": True}


@pytest.mark.parametrize("message", ["x" * 100_000, 7, None, ["x"]])
def test_the_message_of_a_failure_is_a_short_text_whatever_was_sent(message: object) -> None:
    with agent(answering(failure({"refused": True, "message": message}))) as channel:
        with pytest.raises(ExecdError) as caught:
            channel.request("start", timeout_s=LIMIT_S * SLACK)
        assert len(caught.value.message) < 600


def hello(**changes: object) -> dict[str, object]:
    return {
        "protocol": wire.VERSION,
        "nonce": NONCE,
        "python_version": "3.13.0",
        "collectors": ["calls"],
        **changes,
    }


def saying(facts: object, kind: int = wire.HELLO) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.sendall(wire.encode_frame(kind, 0, json.dumps(facts).encode()))
        wait_for_the_end(connection)

    return act


def test_a_hello_says_version_and_collectors() -> None:
    with agent(saying(hello())) as channel:
        said = channel.hello(NONCE)
    assert (said.python_version, said.collectors) == ("3.13.0", ("calls",))


WRONG_HELLOS = {
    "another nonce": hello(nonce="00" * 8),
    "no nonce": {"protocol": wire.VERSION},
    "another protocol": hello(protocol=wire.VERSION + 1),
    "no object": [hello()],
}


@pytest.mark.parametrize("what", WRONG_HELLOS)
def test_a_hello_that_is_not_our_agents_closes_the_channel(what: str) -> None:
    with agent(saying(WRONG_HELLOS[what])) as channel:
        with pytest.raises(AgentFailed, match="broke the protocol"):
            channel.hello(NONCE)
        assert_closed(channel)


@pytest.mark.parametrize("value", [None, 3, {}, ["calls", 3, None]])
def test_a_hello_with_facts_of_the_wrong_kind_is_read_as_far_as_it_goes(value: object) -> None:
    with agent(saying(hello(python_version=value, collectors=value))) as channel:
        said = channel.hello(NONCE)
    assert said.python_version == ""
    assert set(said.collectors) <= {"calls", ""}


def test_a_silent_agent_costs_the_time_limit_of_the_hello(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_HELLO_TIMEOUT_S", LIMIT_S)
    with agent(wait_for_the_end) as channel:
        with pytest.raises(AgentFailed, match="in time"):
            channel.hello(NONCE)
        assert_closed(channel)


def test_requests_of_several_threads_do_not_mix() -> None:
    count = 20
    with agent(answering(*[lambda number: reply({"number": number})(number)] * count)) as channel:
        answers: list[int] = []

        def ask() -> None:
            answers.append(channel.request("ping", timeout_s=LIMIT_S * 25).facts["number"])

        threads = [threading.Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == list(range(1, count + 1))


def test_a_closed_channel_says_so() -> None:
    with agent(wait_for_the_end) as channel:
        channel.close()
        channel.close()
        assert_closed(channel)
