"""Snapshots of a process tree that goes on: of the whole, by the name that they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import execctl
from footprint import becomes

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

SETTLE_S = 15.0


def test_a_snapshot_by_its_name_is_of_the_whole_tree(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "forking")
    with daemon.client() as client, client.attach(program.pid, profile=True, children=True) as recording:
        child = program.ask_json("fork")
        assert becomes(lambda: {one.pid for one in client.sessions()} == {program.pid, child}, SETTLE_S)
        first, *others = recording.snapshot("before")
        assert [(one.name, one.pid) for one in (first, *others)] == [("before", program.pid), ("", child)]
        program.ask("work 3")
        recording.snapshot("after")
        program.ask("reap")
        before, after = (client.profile(name, execctl.CallProfile) for name in ("before", "after"))
        changed = client.diff("before", "after")
        assert (before.id, {one.pid for one in before.processes}) == (first.id, {program.pid, child})
        assert before.totals.calls == sum(one.figures["calls"] for one in before.processes)
        assert before.totals.self_s == sum(one.figures["self_ns"] for one in before.processes) / 1e9
        assert isinstance(changed, execctl.CallComparison)
        assert not changed.per_second
        gained = sum(change.delta.calls for change in changed.changes)
        assert gained == after.totals.calls - before.totals.calls > 0
    # What came later is not in it.
    with daemon.client() as client:
        assert client.profile("before", execctl.CallProfile).totals == before.totals
