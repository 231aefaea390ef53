"""The calls collector where the interpreter has no _ctypes (3.9 to 3.11): each thread from its first collection on."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from agent_drivers import PROJECT

if TYPE_CHECKING:
    from interpreters import Interpreter

PROGRAM = """
import sys, gc, json, threading
sys.modules["_ctypes"] = None
sys.path.insert(0, sys.argv[1])
from execd_agent.collectors.calls import Calls
found = {}
def agent(armed, done):
    calls = Calls({})
    found["caveats"] = calls.start()
    armed.set(); done.wait(); calls.stop()
    found["counts"] = {}
    def walk(node):
        for child in node.children.values():
            name = child.what if isinstance(child.what, str) else child.what.co_name
            found["counts"][name] = found["counts"].get(name, 0) + child.calls
            walk(child)
    for tree in calls._calls.trees: walk(tree.root)
def work(): return [sorted([i]) for i in range(10)]
armed, done = threading.Event(), threading.Event()
thread = threading.Thread(target=agent, args=(armed, done)); thread.start(); armed.wait()
before = sys.getprofile() is None
gc.collect()
for i in range(7): work()
done.set(); thread.join()
work()
found["before"], found["after"], found["callbacks"] = before, sys.getprofile() is None, len(gc.callbacks)
print(json.dumps(found))
"""


def test_a_thread_is_recorded_from_its_first_collection_and_left_at_its_next_event(interpreter: Interpreter) -> None:
    if interpreter.version not in ("3.9", "3.10", "3.11"):
        pytest.skip("newer versions have sys.monitoring and need no _ctypes")
    command = [*interpreter.argv, "-E", "-s", "-B", "-c", PROGRAM, str(PROJECT / "inprocess")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["before"]
    assert found["counts"]["work"] == 7
    assert found["counts"]["<built-in method builtins.sorted>"] == 70
    assert found["after"]
    assert found["callbacks"] == 0
    assert "cannot be reached" in found["caveats"][0]
