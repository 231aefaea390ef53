"""A daemon that is asked to attach where it is already: it joins its own agent, and does not put in a second one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attachments import await_tidying
from daemons import CALLS
from footprint import becomes, footprint

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter


def test_a_second_attach_joins_the_agent_that_is_there(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "busy")
    alone = footprint(program.pid)
    first = daemon.attach(program.pid)
    with_one_agent = await_tidying(program.pid, alone)
    second = daemon.attach(program.pid, CALLS)
    assert (first.joined, second.joined) == (False, True)
    assert second.stopped_us == 0
    # It has the descriptor of what it records until the daemon is known to have it.
    assert becomes(lambda: footprint(program.pid) == with_one_agent, 5.0)


def test_a_detach_where_nothing_is_attached_is_no_error(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(local_interpreter, "busy")
    before = footprint(program.pid)
    assert not daemon.detach(program.pid).was_attached
    assert footprint(program.pid) == before
