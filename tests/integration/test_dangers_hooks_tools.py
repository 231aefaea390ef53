"""Tools of the target's own that have the only slot of a thread (3.9 to 3.11), on before an attach and on after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from agent_drivers import PID
from attachments import REQUEST_TIMEOUT_S, attached, detach
from call_trees import header
from execd.attach.table import read_table
from execd.errors import CollectorRefused

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import AgentLink, Attacher
    from execd.model.profile import Profile
    from interpreters import Interpreter

# Of one pass, as workload.CALLS has it; its body is one line.
FIBONACCI_CALLS = 177
# A tool, what is recorded beside it, the column that counts, and whether it must be forced.
TOOLS = {
    "tracer": ("lines", "hits", False),
    "bdb": ("lines", "hits", False),
    "cprofile": ("calls", "calls", True),
}


def record(link: AgentLink, collector: str, *, force: bool) -> None:
    """Starts a collector."""
    options = {"force": True} if force else {}
    link.channel.request("start", timeout_s=REQUEST_TIMEOUT_S, session="c1", collector=collector, options=options)


def stop(link: AgentLink, collector: str) -> Profile:
    """Ends it, and returns what it recorded."""
    reply = link.channel.request("stop", timeout_s=REQUEST_TIMEOUT_S, session="c1")
    return read_table(reply.bulk, replace(header(), collector=collector), PID)


def figure(profile: Profile, column: str) -> int:
    """What a column has of all that is called fibonacci."""
    nodes = range(len(profile.parents))
    own = [node for node in nodes if profile.functions[profile.function_of(node)].name == "fibonacci"]
    return sum(profile.column(column)[node] for node in own)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("interpreter", ["3.9", "3.11"], indirect=True)
def test_a_tool_goes_on_beside_what_we_record_and_after_it(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, tool: str
) -> None:
    collector, column, needs_force = TOOLS[tool]
    alone, program = spawn(interpreter, "debugged"), spawn(interpreter, "debugged")
    for one in (alone, program):
        one.ask("work 1")
        one.ask_json(f"{tool}-on")
    with attached(attacher, program.pid) as link:
        if needs_force:
            with pytest.raises(CollectorRefused, match=r"written in C \(cProfile.Profile\) is active .* --force"):
                record(link, collector, force=False)
        record(link, collector, force=needs_force)
        for one in (alone, program):
            one.ask("work 1")
        profile = stop(link, collector)
        detach(link)
    for one in (alone, program):
        one.ask("work 1")
    assert figure(profile, column) == FIBONACCI_CALLS
    found = program.ask_json(f"{tool}-off")
    assert found == alone.ask_json(f"{tool}-off")
    assert found
    assert [caveat.startswith("cProfile.Profile, a tool") for caveat in profile.header.caveats] == [True] * needs_force
    assert (alone.stderr(), program.stderr()) == ("", "")
