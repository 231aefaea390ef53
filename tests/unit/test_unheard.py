"""The code that the agent's thread begins with: what it is made of, and that no tool hears of it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach.text import stripped_source

if TYPE_CHECKING:
    from interpreters import Interpreter

TIMEOUT_S = 60
SINCE = (3, 12)
# The number, and the instructions as they should be.
MAKING = """
import importlib.util, json, opcode
found = [(opcode.opmap["JUMP_FORWARD"], 1), (opcode.opmap["RESUME"], 0)]
caches = opcode._inline_cache_entries
count = caches.get("RESUME", 0) if hasattr(caches, "get") else caches[opcode.opmap["RESUME"]]
found += [(0, 0)] * count + [(opcode.opmap["NOP"], 0), (opcode.opmap["RETURN_GENERATOR"], 0)]
found[0] = opcode.opmap["JUMP_FORWARD"], 1 + count
print(json.dumps([int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little"), bytes(sum(found, ())).hex()]))
"""
# What another tool hears of a thread that does something so, and before and after; and whose ids are taken.
HEARING = """
import _thread, gc, importlib.util, json, sys, threading
monitoring = sys.monitoring
heard, ids, main = [], [], _thread.get_ident()
make = unheard_by(sys, importlib.util.MAGIC_NUMBER)
begin, give_back = make(lambda error: False)
done = _thread.allocate_lock()
done.acquire()

def run(value):
    ids.append([monitoring.get_tool(number) for number in (3, 4)])
    [len(text) for text in value]
    give_back()

events = [name for name in dir(monitoring.events) if name.isupper() and name != "NO_EVENTS"]
monitoring.use_tool_id(2, "other")
for name in events:
    def hear(*arguments, name=name):
        if _thread.get_ident() != main:
            heard.append(name)
    monitoring.register_callback(2, getattr(monitoring.events, name), hear)
wanted = [name for name in events if name not in ("C_RETURN", "C_RAISE", "INSTRUCTION", "LINE", "JUMP", "BRANCH")]
monitoring.set_events(2, sum(getattr(monitoring.events, name) for name in wanted if "BRANCH" not in name))
function, arguments = begin(run, (["a", "b"],))
threads = _thread._count()
_thread.start_new_thread(function, arguments)
while not ids or _thread._count() > threads:
    pass
gc.collect()
monitoring.set_events(2, 0)
print(json.dumps([function is not run, heard, ids, [monitoring.get_tool(number) for number in (3, 4)]]))
"""
# One agent leaves when another has come, and has the same id.
FOLLOWING = """
import importlib.util, json, sys
monitoring = sys.monitoring
make = unheard_by(sys, importlib.util.MAGIC_NUMBER)
(begin, give_back), (begin_next, give_back_next) = (make(lambda error: False) for _ in range(2))
owners = []
for act in (lambda: begin(print, ()), lambda: monitoring.free_tool_id(3), lambda: begin_next(print, ()), give_back,
            give_back_next):
    act()
    owners.append(monitoring.get_tool(3))
print(json.dumps(owners))
"""


def said(interpreter: Interpreter, script: str) -> Any:
    """What a script prints under an interpreter."""
    run = subprocess.run([*interpreter.argv, "-c", script], capture_output=True, timeout=TIMEOUT_S, check=True)
    assert run.stderr == b""
    return json.loads(run.stdout)


@pytest.fixture
def with_monitoring(interpreter: Interpreter) -> Interpreter:
    """An interpreter that has sys.monitoring."""
    if interpreter.version_info < SINCE:
        pytest.skip("sys.monitoring came with 3.12")
    return interpreter


def test_its_instructions_are_those_of_the_interpreter(with_monitoring: Interpreter) -> None:
    number, units = said(with_monitoring, MAKING)
    names: dict[str, Any] = {}
    exec(stripped_source("unheard"), names)  # noqa: S102 - it is ours
    assert names["_DOORS"][number].replace(" ", "") == units


def test_no_tool_hears_what_a_thread_does_within_it(with_monitoring: Interpreter) -> None:
    is_made, heard, ids, left = said(with_monitoring, stripped_source("unheard") + HEARING)
    kept = with_monitoring.version_info >= (3, 14)
    assert is_made
    assert heard == []
    assert ids == [["execd's agent" if kept else None, None]]
    assert left == [None, None]


def test_an_agent_that_leaves_takes_nothing_from_the_next_one(with_monitoring: Interpreter) -> None:
    name = "execd's agent"
    assert said(with_monitoring, stripped_source("unheard") + FOLLOWING) == [name, None, name, name, None]
