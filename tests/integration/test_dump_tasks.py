"""The tasks of event loops, read from outside, beside what asyncio says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.attach.memory import Memory
from execd.attach.scan import look_at
from execd.errors import NotSupported
from execd.sampling.dump import take_dump
from execd.sampling.tasks import find_tasks
from footprint import becomes

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execd.model.dump import AwaitingTask, Dump
    from interpreters import Interpreter
    from programs import Program

LIMIT_S = 20.0
SINCE_3_14 = pytest.mark.parametrize("interpreter", ["3.14", "3.15"], indirect=True)
TASKS = 11
# A task is read whole; of its type and its count the first words are looked at by themselves.
FIRST_BYTES = 64


def dump_of(pid: int) -> Dump:
    found = Finder().find(pid, process.mappings(pid))
    return take_dump(look_at(pid), found, with_tasks=True)


def shown(task: AwaitingTask) -> list[Any]:
    """A task as the program tells one."""
    frames = [[frame.function, frame.file, frame.line] for frame in task.frames]
    return [task.address, task.name, frames, list(task.awaited_by)]


def waiting_in_its_loop(program: Program) -> Dump:
    """A dump of a program whose loop waits for events."""
    taken: list[Dump] = []

    def look() -> bool:
        taken.append(dump_of(program.pid))
        (main,) = (one for one in taken[-1].threads if one.name == "MainThread")
        return main.system_call.startswith("epoll")

    assert becomes(look, LIMIT_S)
    return taken[-1]


@SINCE_3_14
def test_tasks_are_where_asyncio_says_that_they_are(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "gathering")
    dump = waiting_in_its_loop(program)
    told = program.ask_json("tasks")
    assert sorted(map(shown, dump.tasks)) == sorted(told)
    assert len(told) == TASKS
    assert {one.thread for one in dump.tasks} == {program.pid}
    assert not any(one.is_running for one in dump.tasks)
    # Two are awaited by one each through a gather, two through a group, one by two.
    assert sorted(len(one.awaited_by) for one in dump.tasks)[-5:] == [1, 1, 1, 1, 2]


@SINCE_3_14
def test_the_task_that_runs_is_shown_with_what_it_called(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "awaiting")
    (running,) = (one for one in dump_of(program.pid).tasks if one.is_running)
    assert running.name.startswith("Task-")
    assert [frame.function for frame in running.frames][-2:] == ["Event.wait", "main"]
    told = {address: (name, awaited_by) for address, _, name, awaited_by in program.ask_json("tasks")}
    assert {one.address: (one.name, list(one.awaited_by)) for one in dump_of(program.pid).tasks} == told


class Ending(Memory):
    """The memory of a process of which one task ends as soon as it has been read."""

    def __init__(self, pid: int, task: int) -> None:
        super().__init__(pid)
        self._task, self._reads = task, 0

    def read(self, address: int, length: int) -> bytes:
        if address == self._task and length > FIRST_BYTES:
            self._reads += 1
        return bytes(length) if self._reads > 1 and address == self._task else super().read(address, length)


@SINCE_3_14
def test_a_task_that_ends_while_it_is_read_is_left_out(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "gathering")
    waiting_in_its_loop(program)
    told = {row[0]: row[1] for row in program.ask_json("tasks")}
    found = Finder().find(program.pid, process.mappings(program.pid))
    gone = min(told)
    tasks = find_tasks(replace(found, memory=Ending(program.pid, gone)))
    assert tasks is not None
    assert {one.address: one.name for one in tasks.tasks} == {key: told[key] for key in told if key != gone}
    assert tasks.left_out == 1


@pytest.mark.parametrize("interpreter", ["3.14"], indirect=True)
def test_where_there_is_no_loop_there_are_no_tasks(interpreter: Interpreter, spawn: Spawn) -> None:
    dump = dump_of(spawn(interpreter, "sleeping").pid)
    assert dump.tasks == ()
    assert "no event loop's module, _asyncio, was found in it" in dump.notes


@pytest.mark.parametrize("interpreter", ["3.9", "3.13"], indirect=True)
def test_of_an_older_version_tasks_are_refused(interpreter: Interpreter, spawn: Spawn) -> None:
    with pytest.raises(NotSupported, match=interpreter.version) as refused:
        dump_of(spawn(interpreter, "sleeping").pid)
    assert "3.14" in refused.value.remedy


@SINCE_3_14
def test_execctl_shows_who_awaits_whom(daemon: Daemon, interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "gathering")
    text = daemon.execctl("dump", str(program.pid), "--async")
    assert f"task in a group (thread {program.pid}): awaited by Task-" in text
    assert f"task shared (thread {program.pid}): awaited by waiting " in text
    assert "    through (" in text
    assert "\x1b" not in text
    record = json.loads(daemon.execctl("dump", str(program.pid), "--async", "--json"))
    assert len(record["tasks"]) == TASKS
