"""Agents that answer by the book without a target, for tests of the sessions; the process is a real child."""

from __future__ import annotations

import os
import socket
import threading
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from execd.attach.attacher import AgentLink
from execd.attach.channel import Channel, Hello, Reply
from execd.errors import AgentFailed, ExecdError, TargetGone
from execd_agent import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.model.target import TargetKey

COLLECTORS = ("calls", "lines")
THREAD = {"thread_id": 9, "thread_name": "MainThread", "domain": 0}


def table(calls: int, name: str = "work") -> bytes:
    """The table of one function that was called so often, 10 ns each time; of its line as well."""
    encoded = [name.encode(), b"app.py"]
    arrays = [
        ("text_bytes", "u1", b"".join(encoded)),
        ("text_lengths", "i4", array("i", map(len, encoded)).tobytes()),
        ("functions", "i4", array("i", (0, 0, 1, 1)).tobytes()),
        ("locations", "i4", bytes(8)),
        *((column, "i4", array("i", (value,)).tobytes()) for column, value in PLACES.items()),
        ("calls", "i8", array("q", (calls,)).tobytes()),
        ("self_ns", "i8", array("q", (10 * calls,)).tobytes()),
        ("open", "i8", array("q", (0,)).tobytes()),
        ("hits", "i8", array("q", (calls,)).tobytes()),
    ]
    return wire.encode_table({"labels": [THREAD], "lost": {}, "caveats": []}, arrays)


PLACES = {"parents": -1, "node_locations": 0, "node_labels": 0}


@dataclass
class FakeAgent:
    """What an agent has armed, and how it misbehaves.

    Attributes:
        calls: what a snapshot says.
        armed: collectors by session key.
        asked: (operation, arguments) so far.
        waits_s: how long each was to be waited for.
        errors: what an operation raises instead of an answer.
        before: called before an operation is answered.
        bulk: what a snapshot is, where it is not a table.
        ping: what it answers to one.
        start: the same.
        facts: what it tells of a collector in its native form, whose tables the daemon reads.
    """

    calls: int = 0
    armed: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    errors: dict[str, ExecdError] = field(default_factory=dict)
    before: Callable[[str], object] = lambda _operation: None
    bulk: bytes | None = None
    ping: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=lambda: {"form": "python", "caveats": ["a caveat"]})
    facts: dict[str, Any] = field(default_factory=dict)

    def answer(self, operation: str, arguments: dict[str, Any]) -> Reply:
        """Does what an agent does."""
        self.asked.append((operation, arguments))
        self.before(operation)
        if operation in self.errors:
            raise self.errors[operation]
        match operation:
            case "start":
                self.armed[arguments["session"]] = arguments["collector"]
                return Reply(self.start, b"")
            case "snapshot" | "mark" | "stop":
                if arguments["session"] not in self.armed:
                    raise AgentFailed(f"KeyError: {arguments['session']!r}")
                if operation == "stop":
                    del self.armed[arguments["session"]]
                if arguments.get("reads_tables"):
                    return Reply({"facts": self.facts}, b"")
                return Reply({"bulk": True}, table(self.calls) if self.bulk is None else self.bulk)
            case "detach":
                self.armed.clear()
                return Reply({"loaded_modules": ["_ctypes"]}, b"")
            case "ping":
                return Reply(self.ping, b"")
            case _:
                return Reply({}, b"")

    def operations(self) -> list[str]:
        """What it was asked for, without pings."""
        return [operation for operation, _ in self.asked if operation != "ping"]


class FakeChannel(Channel):
    """A channel whose other end is a FakeAgent; like the real one it closes itself where the protocol breaks."""

    def __init__(self, agent: FakeAgent, pid: int) -> None:
        ours, self.theirs = socket.socketpair()
        super().__init__(ours, pid)
        self._agent = agent
        self._answering = threading.Lock()

    def request(self, operation: str, *, timeout_s: float, **arguments: object) -> Reply:
        """Asks the agent."""
        with self._answering:
            self._agent.waits_s.append(timeout_s)
            if self.fileno() < 0:
                raise TargetGone("the link is closed")
            try:
                return self._agent.answer(operation, arguments)
            except (TargetGone, BrokenProtocol):
                super().close()
                raise

    def close(self) -> None:
        """Closes both ends."""
        super().close()
        self.theirs.close()


class BrokenProtocol(AgentFailed):
    """An agent's error after which the channel is closed."""


@dataclass
class FakeAttacher:
    """Attaches without touching the target.

    Attributes:
        agents: the agent of each attach, by PID.
        refusal: what an attach raises.
        attaches: how many there were.
        allowed_seccomp: whether the last one was to go on under filters that cannot be read.
    """

    agents: dict[int, FakeAgent] = field(default_factory=dict)
    channels: dict[int, FakeChannel] = field(default_factory=dict)
    refusal: ExecdError | None = None
    attaches: int = 0
    allowed_seccomp: bool = False
    marker: str = "execd:0:1"
    helper_pids: tuple[int, ...] = ()

    def attach(
        self,
        key: TargetKey,
        timeout_s: float,  # noqa: ARG002
        cancelled: Callable[[], bool],  # noqa: ARG002
        *,
        allow_seccomp: bool = False,
    ) -> AgentLink:
        """Returns a link."""
        self.allowed_seccomp = allow_seccomp
        self.attaches += 1
        if self.refusal is not None:
            raise self.refusal
        agent = self.agents.setdefault(key.pid, FakeAgent())
        channel = self.channels[key.pid] = FakeChannel(agent, key.pid)
        return AgentLink(channel, os.pidfd_open(key.pid), Hello("3.13.0", COLLECTORS), "pending call", 300)
