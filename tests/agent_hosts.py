"""Hosts: programs of every version that the whole agent is put into without ptrace, and spoken to over a channel."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from execd.attach import text
from execd.attach.channel import Channel
from execd.attach.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_drivers import Drivers
    from interpreters import Interpreter

NONCE = "ab" * 8
LIMIT_S = 10.0


class Host:
    """A program that the agent is put into, and the daemon's end of the link."""

    def __init__(self, drivers: Drivers, interpreter: Interpreter, agent: text.Agent) -> None:
        ours, theirs = socket.socketpair()
        self.ours, marker = ours, os.memfd_create("execd:0:1")
        peer = os.dup(ours.fileno())
        descriptors = (theirs.fileno(), peer, marker)
        settings: dict[str, object] = dict(zip(("descriptor", "peer", "marker"), descriptors, strict=True), nonce=NONCE)
        facts = [(number, os.fstat(number)) for number in descriptors]
        settings["files"] = [(number, fact.st_dev, fact.st_ino) for number, fact in reversed(facts)]
        self._process = subprocess.Popen(
            drivers.command(interpreter, "hosting", []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
        )
        self.pid = settings["pid"] = self._process.pid
        self._text = text.injected_text(agent, interpreter.version_info, settings).rstrip(b"\0")
        os.close(peer)
        os.close(marker)
        theirs.close()
        self._delivery = Delivery(ours, text.bundle(agent, interpreter.version_info), agent.sources_literal)
        self.channel = Channel(ours, self.pid)

    def prepare(self) -> None:
        """Hands the text over; the program has not run it yet."""
        self._send(b"%d\n" % len(self._text) + self._text)
        self.state_before = self._answer()

    def ask(self, command: str) -> Any:
        """Has the program do something."""
        self._send(command.encode() + b"\n")
        return self._answer()

    def attach(self) -> None:
        """Runs the text and waits for the agent's hello."""
        self.attached = self.ask("attach")
        assert self._delivery.arrived(LIMIT_S)
        self.hello = self.channel.hello(NONCE)

    def request(self, operation: str, **arguments: object) -> Any:
        """Asks the agent."""
        return self.channel.request(operation, timeout_s=LIMIT_S, **arguments)

    def close(self) -> str:
        """Ends the program; what it wrote to stderr."""
        self.channel.close()
        _, errors = self._process.communicate(timeout=LIMIT_S)
        return errors.decode()

    def kill(self) -> None:
        """Ends it whatever it does."""
        self.channel.close()
        self._process.kill()
        self._process.communicate()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def hosting(drivers: Drivers, interpreter: Interpreter, agent: text.Agent | None = None) -> Iterator[Host]:
    """A program with an agent in it that has said hello; without one given, the agent that is installed."""
    host = Host(drivers, interpreter, agent or text.read_agent())
    try:
        host.prepare()
        host.attach()
        yield host
    finally:
        host.kill()
