"""A program that changes what everybody in it uses: builtins, modules, the standard streams, the hooks for errors.

Known: "work N" runs N passes of the workload; each name of ACTIONS does that and answers true; "strange" answers what
the program's own functions, put in place of others, were called with by code that is in none of its files, and what
its hooks for errors were told of; "kept" answers whether everything that it put in place still is.
"""

import _thread
import builtins
import json
import marshal
import os
import sys
import threading
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload

REPLACED = (
    *("__build_class__", "__import__", "all", "any", "compile", "delattr", "eval", "exec", "getattr", "globals"),
    *("hasattr", "id", "isinstance", "issubclass", "len", "locals", "max", "min", "open", "ord", "print", "repr"),
    *("setattr", "sorted", "vars"),
)
ATTRIBUTES = (
    *((os, name) for name in ("read", "write", "getpid", "fork", "fstat", "register_at_fork")),
    *((threading, name) for name in ("setprofile", "settrace", "_active", "_profile_hook", "get_ident")),
    *((time, name) for name in ("perf_counter_ns", "monotonic_ns", "thread_time_ns", "sleep")),
    *((_thread, name) for name in ("stack_size", "interrupt_main")),
)
AUDITED = (
    *("sys._current_frames", "sys.setprofile", "sys.monitoring.register_callback", "compile", "marshal.loads"),
    "code.__new__",
)
STRANGE = []
KEPT = []


class Loud:
    """A stream that cannot be written to."""

    def write(self, text):
        """Says so."""
        STRANGE.append("write")
        raise OSError(text)

    def flush(self):
        """Says so."""
        STRANGE.append("flush")
        raise OSError


def is_strange():
    """Whether what called a function of ours lies in no file."""
    frame = sys._getframe(1).f_back  # noqa: SLF001 -- as those do that replace builtins
    name = "<no code>" if frame is None else frame.f_code.co_filename
    return name.startswith("<") and not name.startswith("<frozen")


def replacement(name, original, *, raises):
    """A function that does what another does, or raises where a stranger calls it."""

    def replaced(*arguments, **keywords):
        if is_strange():
            STRANGE.append(name)
            if raises:
                raise ValueError(name)
        return original(*arguments, **keywords)

    return replaced


def put(owner, name, value):
    """Replaces an attribute."""
    setattr(owner, name, value)
    KEPT.append((vars(owner), name, value))


def replace(*names, raises=False):
    """Replaces builtins."""
    for name in names:
        put(builtins, name, replacement(name, getattr(builtins, name), raises=raises))


def replace_in(module, name, *, raises=False):
    """Replaces a function of a module."""
    put(module, name, replacement(name, getattr(module, name), raises=raises))


def delete_attributes():
    """Those of modules that everybody uses; what the program needs itself it has kept."""
    for owner, name in ATTRIBUTES:
        vars(owner).pop(name, None)


def stop_clocks():
    """As libraries do that let tests travel in time."""
    for name in ("perf_counter_ns", "monotonic_ns", "time", "perf_counter", "monotonic", "thread_time_ns"):
        put(time, name, lambda: 0)


def replace_streams():
    """By such that raise."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        put(sys, name, Loud())


def set_error_hooks():
    """All three."""
    put(sys, "excepthook", lambda *facts: STRANGE.append(repr(facts)))
    put(sys, "unraisablehook", lambda *facts: STRANGE.append(repr(facts)))
    put(threading, "excepthook", lambda *facts: STRANGE.append(repr(facts)))


def forbid(forbidden):
    """Refuses an event to strangers by an audit hook."""

    def hook(event, _facts):
        if event == forbidden and is_strange():
            raise RuntimeError(event)

    sys.addaudithook(hook)


ACTIONS = {
    "usual-builtins": lambda: replace("__import__", "input", "open", "print", raises=True),
    "all-builtins": lambda: replace(*REPLACED),
    **{name: lambda name=name: replace(name, raises=True) for name in ("compile", "exec", "len")},
    "marshal": lambda: replace_in(marshal, "loads", raises=True),
    "threads": lambda: replace_in(_thread, "start_new_thread"),
    "no-modules": lambda: sys.modules.clear(),
    "other-modules": lambda: put(sys, "modules", {}),
    "none-for-modules": lambda: sys.modules.update(
        dict.fromkeys(("threading", "_ctypes", "_signal", "warnings", "gc"))
    ),
    "no-attributes": delete_attributes,
    "stopped-clocks": stop_clocks,
    "streams": replace_streams,
    "error-hooks": set_error_hooks,
    **{"audit-" + event: lambda event=event: forbid(event) for event in AUDITED},
    "errors": lambda: warnings.simplefilter("error"),
}


def kept():
    """Whether everything that was put in place still is."""
    return all(names[name] is value for names, name, value in KEPT)


def does(action):
    """A command that does an action."""

    def do():
        action()
        return True

    return do


def main():
    """Ends with stdin."""
    actions = {name: does(action) for name, action in ACTIONS.items()}
    answers = {**actions, "work": workload.repeat, "strange": lambda: STRANGE, "kept": kept}
    read, write, dumps = os.read, os.write, json.dumps
    pending = b""
    write(1, b"ready\n")
    while chunk := read(0, 4096):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            name, *numbers = line.decode("ascii").split()
            write(1, dumps(answers[name](*map(int, numbers))).encode("ascii") + b"\n")


if __name__ == "__main__":
    main()
