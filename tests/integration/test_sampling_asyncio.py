"""Tasks of a running event loop, found from outside by the debug offsets of its _asyncio module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory
from execd.errors import NotSupported
from execd.sampling.asyncio_layout import AsyncioLayout, find_asyncio
from execd.sampling.frame_layout import FrameLayout, frame_layout_for
from execd.sampling.object_reader import ObjectReader
from execd.sampling.walk import interpreters, threads

if TYPE_CHECKING:
    from conftest import Spawn
    from interpreters import Interpreter

TASKS_LIMIT = 100


def found_in(pid: int) -> tuple[Memory, FrameLayout, int, AsyncioLayout | None]:
    """What is found in a process: its memory, layout, runtime and tasks."""
    mappings = process.mappings(pid)
    found = Finder().find(pid, mappings)
    memory = Memory(pid)
    layout = frame_layout_for(found.version, memory.read(found.runtime, DEBUG_OFFSETS_SIZE))
    return memory, layout, found.runtime, find_asyncio(memory, layout, found.runtime, mappings)


def listed(memory: Memory, head: int, node: int) -> list[int]:
    """The addresses of the tasks in a list that is linked in a circle."""
    tasks = []
    place = memory.read_u64(head)
    while place != head:
        assert len(tasks) < TASKS_LIMIT
        tasks.append(place - node)
        place = memory.read_u64(place)
    return tasks


@pytest.mark.parametrize("interpreter", ["3.14", "3.15"], indirect=True)
def test_the_tasks_of_a_thread_are_found_by_name_and_coroutine(spawn: Spawn, interpreter: Interpreter) -> None:
    program = spawn(interpreter, "awaiting")
    memory, layout, runtime, tasks = found_in(program.pid)
    assert tasks is not None
    *_, main = threads(memory, layout, interpreters(memory, layout, runtime)[-1])
    text = ObjectReader(memory, layout.objects).text
    told = {address: facts for address, *facts in program.ask_json("tasks")}
    ours = {
        address: [memory.read_u64(address + tasks.task_coro), text(memory.read_u64(address + tasks.task_name))]
        for address in listed(memory, main.address + tasks.thread_tasks, tasks.task_node)
    }
    assert ours == {address: facts[:2] for address, facts in told.items()}
    (current,) = (address for address, facts in told.items() if facts[1].startswith("Task-"))
    assert memory.read_u64(main.address + tasks.running_task) == current
    assert memory.read_u64(main.address + tasks.running_loop) != 0
    for address, (_, _, awaited_by) in told.items():
        one = memory.read_u64(address + tasks.task_awaited_by)
        several = memory.read(address + tasks.task_awaited_by_is_set, 1) == b"\1"
        assert several == (len(awaited_by) > 1)
        assert several or awaited_by == ([one] if one else [])
        assert memory.read(address + tasks.task_is_task, 1) == b"\1"


@pytest.mark.parametrize("interpreter", ["3.14"], indirect=True)
def test_where_no_asyncio_is_loaded_there_is_none(spawn: Spawn, interpreter: Interpreter) -> None:
    assert found_in(spawn(interpreter, "sleeping").pid)[3] is None


@pytest.mark.parametrize("interpreter", ["3.9", "3.13"], indirect=True)
def test_older_versions_do_not_say_where_their_tasks_are(spawn: Spawn, interpreter: Interpreter) -> None:
    with pytest.raises(NotSupported, match=interpreter.version):
        found_in(spawn(interpreter, "sleeping").pid)
