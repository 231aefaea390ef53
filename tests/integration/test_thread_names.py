"""Names of threads, read from outside, beside what the threading module calls them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.sampling import thread_names as module
from execd.sampling.thread_names import LONGEST_NAME, ThreadName, thread_names
from footprint import becomes, thread_ids
from targets.naming import NATIVE

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.interpreter import Interpreter as Found
    from interpreters import Interpreter
    from programs import Program

LIMIT_S = 10.0
LOOKS = 300


@pytest.fixture
def program(interpreter: Interpreter, spawn: Spawn) -> Program:
    """Threads with names of every kind."""
    return spawn(interpreter, "naming")


def found_in(program: Program) -> Found:
    return Finder().find(program.pid, process.mappings(program.pid))


def told(rows: list[list[Any]]) -> dict[int, tuple[int, str]]:
    """What the program says of its threads, as it is to be found: long names are cut."""
    return {
        native_id: (ident, name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…")
        for native_id, ident, name in rows
    }


def seen(names: dict[int, ThreadName]) -> dict[int, tuple[int, str]]:
    return {native_id: (one.thread_id, one.name) for native_id, one in names.items()}


def test_threads_are_called_what_the_threading_module_calls_them(program: Program) -> None:
    found = found_in(program)
    threads = told(program.ask_json("names"))
    native_id = program.ask_json("native")
    names = seen(thread_names(found))
    assert names.pop(native_id)[1] == NATIVE
    assert names == threads
    assert {one.interpreter for one in thread_names(found).values()} == {0}
    assert names.keys() | {native_id} == set(thread_ids(program.pid))


def test_a_thread_that_is_renamed_is_called_so_at_the_next_look_at_all(program: Program) -> None:
    found = found_in(program)
    before = thread_names(found)
    old, renamed = seen(before), told(program.ask_json("rename"))
    renamed[program.ask_json("native")] = old[program.ask_json("native")]
    # Who had a name is not looked at again where it is given.
    named = {native_id: one for native_id, one in old.items() if one[1]}
    assert seen(thread_names(found, before)) == renamed | named
    assert seen(thread_names(found)) == renamed
    assert len({name for _, name in renamed.values()} & {name for _, name in old.values()}) == len(("main", "native"))


def test_threads_that_come_and_go_are_called_what_they_are_or_nothing(program: Program) -> None:
    found = found_in(program)
    lasting = told(program.ask_json("names"))
    program.ask_json("churn")
    short: set[str] = set()

    def look() -> bool:
        names = seen(thread_names(found))
        # A list that breaks off in the midst of a change has some of them.
        assert all(names[native_id] == lasting[native_id] for native_id in names.keys() & lasting.keys())
        short.update(name for native_id, (_, name) in names.items() if native_id not in lasting)
        return "short" in short

    assert becomes(look, LIMIT_S)
    for _ in range(LOOKS):
        look()
    # One in the midst of its start or its end may have the name that its starter has in the kernel.
    assert short <= {"", "short", "starter", NATIVE, "commands"}


def test_a_process_that_has_ended_has_no_threads(program: Program) -> None:
    found = found_in(program)
    program.kill()
    assert thread_names(found) == {}


class Lies:
    """Memory in which every word is the address of another one like it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.reads = 0

    def read(self, _address: int, length: int) -> bytes:
        self.reads += 1
        return (0x7000_0000_0001_0000).to_bytes(8, "little") * (length // 8 + 1)

    def read_u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8)[:8], "little")

    read_u32 = read_u64


def test_a_process_that_lies_is_left_in_time(
    interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_in(spawn(interpreter, "sleeping"))
    lies = Lies(found.memory.pid)
    if found.version >= (3, 13):
        # Their offsets come from the process itself, and would not be believed.
        layout = module.frame_layout_for(found.version, found.memory.read(found.runtime, module.DEBUG_OFFSETS_SIZE))
        monkeypatch.setattr(module, "frame_layout_for", lambda *_: layout)
    ticks = iter(range(1, 1_000_000))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))
    names = thread_names(replace(found, memory=lies))  # type: ignore[arg-type]
    assert set(names.values()) <= {ThreadName(0x7000_0000_0001_0000, "", 0x7000_0000_0001_0000)}
    assert 0 < lies.reads < 200_000
