"""Does one thing and ends: what a program may see of how it was started, and the ways in which one ends.

usage: started.py look|pickle|raise|exit|text|usage|interrupt|spawn|fork|threads|children|kill|leave|replace
"""

# ruff: noqa: T201 - it prints, as programs do

import argparse
import atexit
import inspect
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

WORDS = ("MAIN", "PATH", "SHELL")


class Kept:
    """Something to be pickled by its name in __main__."""

    def __init__(self, number):
        self.number = number


def look():
    """Prints what there is to be seen."""
    main = sys.modules["__main__"]
    facts = {
        "main": sorted(vars(main)),
        "name": __name__,
        "file": main.__file__,
        "spec": str(main.__spec__),
        "argv": sys.argv,
        "orig_argv": getattr(sys, "orig_argv", []),
        "flags": str(sys.flags),
        "path": sys.path,
        "importers": sorted(sys.path_importer_cache),
        "warnoptions": sys.warnoptions,
        "environment": sorted(os.environ.items()),
        "stack": [str(frame[1:4]) for frame in inspect.stack()],
        "threads": [thread.name for thread in threading.enumerate()],
        "profile": str(sys.getprofile() and "set"),
        "trace": str(sys.gettrace()),
        "switch_interval": sys.getswitchinterval(),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "first_file": os.open("/dev/null", os.O_RDONLY),
        "parent_group": os.getpgrp() == os.getpgid(os.getppid()),
        "builtins": sorted(vars(sys.modules["builtins"])),
    }
    with open("/proc/self/cmdline", "rb") as file:
        facts["cmdline"] = file.read().decode()
    print(json.dumps(facts, indent=1))
    print(sys.stdin.read(), end="")


def pickled():
    """Prints what a pickle of an own class says, and its number when it is read again."""
    data = pickle.dumps(Kept(7))
    print(b"__main__" in data, pickle.loads(data).number)  # noqa: S301 - its own


def fail(depth=3):
    """Raises through some frames."""
    if depth == 0:
        raise ValueError("known")
    try:
        fail(depth - 1)
    except ValueError as error:
        raise RuntimeError(depth) from error


def usage():
    """Is called with an option that it does not have."""
    parser = argparse.ArgumentParser(prog="started")
    parser.add_argument("--known")
    parser.parse_args(["--unknown"])


def square(number):
    """Runs in the children."""
    return number * number, sys.argv[1:], os.environ.get("PYTHONPATH"), own_files()


def own_files():
    """The open files that this program, or a child, has beside the first three, without pipes and sockets."""
    names = [os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd") if is_open(name)]
    return sorted(name for name in names if "execd" in name)


def is_open(name):
    """Whether a descriptor is still there: that of the listing is not."""
    return os.path.exists("/proc/self/fd/" + name) or os.path.islink("/proc/self/fd/" + name)


def pool(method):
    """Has two children work."""
    with multiprocessing.get_context(method).Pool(2) as workers:
        print(workers.map(square, range(4)))


def threads():
    """Ends with a thread at work, which atexit is after."""

    def late():
        time.sleep(0.3)
        print("late", late_work())

    atexit.register(lambda: print("at exit", late_work()))
    threading.Thread(target=late).start()


def late_work():
    """Is called twice."""
    return 1


def children():
    """Prints what a child is given."""
    code = "import os, sys; print(os.environ.get('PYTHONPATH'), sys.path[1:], sys.modules.get('sitecustomize'))"
    print(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode())
    listing = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    print(subprocess.run([sys.executable, "-c", listing], stdout=subprocess.PIPE, close_fds=False, check=True).stdout)


def wait_for_signal():
    """Says that it waits, and does; a KeyboardInterrupt ends it."""
    print("ready", flush=True)
    while True:
        late_work()
        time.sleep(0.01)


def stop_itself(number):
    """Dies of a signal after it has worked for a while."""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        late_work()
    print("dies", flush=True)
    os.kill(os.getpid(), number)


ACTIONS = {
    "look": look,
    "pickle": pickled,
    "raise": fail,
    "exit": lambda: sys.exit(3),
    "text": lambda: sys.exit("it says so"),
    "usage": usage,
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
    "spawn": lambda: pool("spawn"),
    "fork": lambda: pool("fork"),
    "threads": threads,
    "children": children,
    "wait": wait_for_signal,
    "kill": lambda: stop_itself(signal.SIGKILL),
    "terminate": lambda: stop_itself(signal.SIGTERM),
    "leave": lambda: os._exit(4),
    "replace": lambda: os.execv(sys.executable, [sys.executable, "-c", "print('another program')"]),  # noqa: S606
}

if __name__ == "__main__":
    ACTIONS[sys.argv[1]]()
