"""How a target program and a test talk: a line asks on stdin, a line answers on stdout, and that is all.

The program says "ready" first. The end of stdin ends it, so that none outlives the tests that started it.
"""

import json
import os
import sys
import threading
import warnings

STDIN_FD = 0
STDOUT_FD = 1
CHUNK_BYTES = 4096


def say(text):
    """Writes one line in one system call, so that lines of several threads never mix."""
    os.write(STDOUT_FD, (text + "\n").encode("ascii", "backslashreplace"))


def ready(facts=""):
    """Says that the program has started, with what the test must know of it."""
    say(f"ready {facts}" if facts else "ready")


def commands():
    """Yields the lines of stdin, read by os.read alone: the call in which the reading thread blocks."""
    pending = b""
    while True:
        chunk = os.read(STDIN_FD, CHUNK_BYTES)
        if not chunk:
            return
        pending += chunk
        *lines, pending = pending.split(b"\n")
        for line in lines:
            yield line.decode("ascii")


def answer(command, actions):
    """Runs the action that the first word of a command names; the others are its integer arguments."""
    name, *arguments = command.split()
    say(json.dumps(actions[name](*map(int, arguments))))


def serve(actions):
    """Answers commands until stdin ends, in the thread that calls."""
    for command in commands():
        answer(command, actions)


def serve_beside(actions):
    """Answers commands in a second thread, which ends the program when stdin ends."""

    def reader():
        serve(actions)
        os._exit(0)

    threading.Thread(target=reader, name="commands", daemon=True).start()


def state():
    """What an attach could leave behind in this process."""
    monitoring = getattr(sys, "monitoring", None)
    # Without an import, which would be seen among the modules.
    memory = sys.modules.get("_tracemalloc")
    return {
        "pid": os.getpid(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "os_threads": len(os.listdir("/proc/self/task")),
        "fds": sorted(open_fds()),
        "modules": sorted(sys.modules),
        "filters": [repr(entry) for entry in warnings.filters],
        "tools": [monitoring.get_tool(tool_id) for tool_id in range(6)] if monitoring else [],
        "profile": repr(sys.getprofile()),
        "trace": repr(sys.gettrace()),
        "tracing_memory": bool(memory and memory.is_tracing()),
        "switch_interval_s": sys.getswitchinterval(),
        "main_names": sorted(vars(sys.modules["__main__"])),
        "builtin_names": sorted(vars(sys.modules["builtins"])),
        "rss_kib": resident_kib(),
    }


def open_fds():
    """The open descriptors as "number target", without the one that lists them."""
    for name in os.listdir("/proc/self/fd"):
        try:
            yield "{} {}".format(name, os.readlink("/proc/self/fd/" + name))
        except FileNotFoundError:
            continue


def trimmed_kib():
    """Resident memory of this process in KiB when malloc has given back what it holds and nobody uses."""
    # Where it is not asked for, this module is not there for a comparison of modules to see.
    import ctypes  # noqa: PLC0415 - see above

    ctypes.CDLL(None).malloc_trim(0)
    return resident_kib()


def resident_kib():
    """Resident memory of this process in KiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
