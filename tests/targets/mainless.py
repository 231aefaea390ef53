"""A process whose main thread is none of Python's any more, as in a program that starts CPython in a thread of its own.

Known: the main thread waits in pause() for ever and its thread state is gone. Another thread computes, with "idle" as
argument there is none. "count" answers how often "count" was asked, "state" what this process holds.
"""

import ctypes
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

COUNT = [0]


def count():
    """One more command."""
    COUNT[0] += 1
    return COUNT[0]


def work():
    """Bytecode for ever."""
    while True:
        sum(range(10))


def forget(state, tid):
    """Takes the main thread's state away once that thread waits, and answers commands from then on."""
    while True:
        with open(f"/proc/self/task/{tid}/syscall", encoding="ascii") as file:
            if file.read().startswith("34 "):
                break
        time.sleep(0.01)
    api = ctypes.PyDLL(None)
    api.PyThreadState_Clear.argtypes = api.PyThreadState_Delete.argtypes = [ctypes.c_void_p]
    api.PyThreadState_Clear(state)
    api.PyThreadState_Delete(state)
    if sys.argv[1:] != ["idle"]:
        threading.Thread(target=work, daemon=True).start()
    line_protocol.ready()
    line_protocol.serve({"count": count, "state": line_protocol.state})
    os._exit(0)


def main():
    """Never returns."""
    api = ctypes.PyDLL(None)
    api.PyThreadState_Get.restype = ctypes.c_void_p
    state = api.PyThreadState_Get()
    threading.Thread(target=forget, args=(state, os.getpid()), daemon=True).start()
    ctypes.CDLL(None).pause()


if __name__ == "__main__":
    main()
