"""Fake agents that compile what they are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from execd.attach.channel import Reply
from execd.errors import CollectorRefused
from execd_agent.collectors import Refused
from execd_agent.collectors.linetables import executable_lines
from fake_agents import FakeAgent


@dataclass
class CompilingAgent(FakeAgent):
    """Compiles what it is sent, with the interpreter of the tests.

    Attributes:
        replies: what it answers instead, one after the other.
        cpu_ns: what it says that a request took.
    """

    replies: list[dict[str, Any] | Exception] = field(default_factory=list)
    cpu_ns: int = 1

    def answer(self, operation: str, arguments: dict[str, Any]) -> Reply:
        """Does what an agent does."""
        if operation != "executable_lines":
            return super().answer(operation, arguments)
        self.asked.append((operation, arguments))
        self.before(operation)
        if self.replies:
            reply = self.replies.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return Reply(reply, b"")
        try:
            found = executable_lines(arguments["source"], arguments["first_line"], arguments["file"])
        except Refused as refused:
            raise CollectorRefused(f"process 1: {refused}") from refused
        return Reply({**found, "cpu_ns": self.cpu_ns}, b"")
