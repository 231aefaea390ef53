"""A program into which the agent comes without ptrace: the text is run here as the attach runs it.

The text comes on stdin, its length on a line before it, and then commands, a line each. Names that a text could look
up in the namespace in which it runs are traps; the `__import__` of builtins and an import hook note what they are
asked for.
"""

import builtins
import ctypes
import gc
import json
import os
import sys
import threading
import time
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "targets"))

import line_protocol
import workload

TRAPPED = []


def trap(name):
    """A function that remembers that it was called."""

    def spring(*_arguments, **_keywords):
        TRAPPED.append(name)
        raise RuntimeError(name)

    return spring


def set_traps():
    """Replaces what a program may replace."""
    main = vars(sys.modules["__main__"])
    for name in ("exec", "compile", "type", "len", "getattr", "__import__", "c", "g", "dict", "object"):
        main[name] = trap(name)
    sys.path.insert(0, "/nowhere")
    sys.meta_path.insert(0, Finder())


class Finder:
    """An import hook of the program's."""

    def find_spec(self, name, *_arguments):
        """Is asked for every module that the program imports from now on."""
        TRAPPED.append("find_spec " + name)


def attach(text):
    """Runs the text; whether it left the names of `__main__` alone."""
    before = sorted(vars(sys.modules["__main__"]))
    ctypes.pythonapi.PyRun_SimpleString(text)
    return {"names": sorted(vars(sys.modules["__main__"])) == before}


def functions():
    """The agent's functions that exist, be it only until the next garbage collection."""
    ours = [one for one in gc.get_objects() if isinstance(one, types.FunctionType)]
    # The injected text has no file name; it empties its namespace at its end.
    return [one.__qualname__ for one in ours if is_the_agents(one)]


def is_the_agents(function):
    """Whether a function is the agent's, or one of the text that started it."""
    return function.__code__.co_filename.startswith("<execd_agent") or list(function.__globals__) == ["__builtins__"]


def forks_beside_a_thread_that_stays():
    """How long three forks take after an agent that seems to be on its way out for ever, seconds each."""
    (stub,) = [one for one in builtins.type.__subclasses__(builtins.object) if one.__name__.startswith("ExecdForkStub")]
    stub.leaving.append(threading.get_native_id())
    return [fork_s() for _ in range(3)]


def fork_s():
    """How long a fork takes, with the child's end."""
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return time.monotonic() - began


def main():
    """Serves until stdin ends."""
    size, text = int(sys.stdin.buffer.raw.readline()), b""
    while len(text) < size:
        text += os.read(0, size - len(text))
    actions = {
        "attach": lambda: attach(text),
        "work": lambda passes: [workload.run() for _ in range(passes)][-1],
        "state": line_protocol.state,
        "functions": functions,
        "forks": forks_beside_a_thread_that_stays,
        "trapped": lambda: TRAPPED,
    }
    real_import = builtins.__import__

    def watched_import(name, *arguments, **keywords):
        TRAPPED.append("__import__ " + name)
        return real_import(name, *arguments, **keywords)

    # The first look at the state imports something of its own.
    line_protocol.state()
    line_protocol.say(json.dumps(line_protocol.state()))
    set_traps()
    builtins.__import__ = watched_import
    try:
        line_protocol.serve(actions)
    finally:
        builtins.__import__ = real_import


if __name__ == "__main__":
    main()
