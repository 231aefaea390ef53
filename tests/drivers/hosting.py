"""A program into which the agent comes without ptrace: the text is run here as the attach runs it.

The text comes on stdin, its length on a line before it, and then commands, a line each. Names that a text could look
up in the namespace in which it runs, and the `__import__` of builtins, are traps.
"""

import builtins
import ctypes
import json
import sys

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
    """Runs the text, with a replaced __import__ while it and the agent's first steps run."""
    before = sorted(vars(sys.modules["__main__"]))
    ctypes.pythonapi.PyRun_SimpleString(text)
    return {"names": sorted(vars(sys.modules["__main__"])) == before}


def main():
    """Serves until stdin ends."""
    text = sys.stdin.buffer.raw.read(int(sys.stdin.buffer.raw.readline()))
    actions = {
        "attach": lambda: attach(text),
        "work": lambda passes: [workload.run() for _ in range(passes)][-1],
        "state": line_protocol.state,
        "trapped": lambda: TRAPPED,
    }
    real_import = builtins.__import__
    state = line_protocol.state
    line_protocol.say(json.dumps(state()))
    set_traps()
    builtins.__import__ = trap("__import__ of builtins")
    try:
        line_protocol.serve(actions)
    finally:
        builtins.__import__ = real_import


if __name__ == "__main__":
    main()
