"""Attachments: an agent put into a target without a daemon, so that nothing pings it and no store is needed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_drivers import PID
from call_trees import header
from execd.attach import process
from execd.attach.table import read_table
from footprint import becomes, footprint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.attacher import AgentLink, Attacher
    from execd.model.profile import Profile
    from footprint import Footprint

ATTACH_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
TIDYING_TIMEOUT_S = 5.0


@contextmanager
def attached(attacher: Attacher, pid: int) -> Iterator[AgentLink]:
    """Holds a link to an agent in a process; its end closes the link, without a detach.

    Args:
        attacher: whose helper makes the attach.
        pid: the target.
    """
    link = attach(attacher, pid)
    try:
        yield link
    finally:
        link.close()


def attach(attacher: Attacher, pid: int) -> AgentLink:
    """Attaches, and gives nobody a way to cancel it."""
    return attacher.attach(process.target_key(pid), ATTACH_TIMEOUT_S, lambda: False)


def await_tidying(pid: int, alone: Footprint) -> Footprint:
    """Waits until what only the attach needed is gone, which the answer does not wait for.

    The helper unmaps the page after it, and a thread that was lent to us has its signals blocked until the last step of
    its chain, which comes after the unmapping.

    Args:
        pid: the target.
        alone: what it looked like before the attach.

    Returns:
        What it looks like with the agent.
    """
    looks = [footprint(pid)]

    def is_tidy() -> bool:
        looks[0] = footprint(pid)
        return not looks[0].pages and alone.threads.items() <= looks[0].threads.items()

    assert becomes(is_tidy, TIDYING_TIMEOUT_S), f"{looks[0]}, alone {alone}"
    return looks[0]


def record_calls(link: AgentLink) -> None:
    """Starts the calls collector."""
    options = {"builtins": True, "subcalls": True}
    link.channel.request("start", timeout_s=REQUEST_TIMEOUT_S, session="c1", collector="calls", options=options)


def stop_calls(link: AgentLink) -> Profile:
    """Ends what record_calls has started, and returns it."""
    reply = link.channel.request("stop", timeout_s=REQUEST_TIMEOUT_S, session="c1")
    return read_table(reply.bulk, header(), PID)


def detach(link: AgentLink) -> list[str]:
    """Takes the agent out; the modules of the standard library that stay."""
    facts: dict[str, Any] = link.channel.request("detach", timeout_s=REQUEST_TIMEOUT_S).facts
    return list(facts["loaded_modules"])
