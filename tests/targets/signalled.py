"""One thread that waits for signals, in a process group of its own; the first argument says in what it waits.

"sleep", "lock", "read", "select" or "work" (bytecode). Known: it says the number of signals that it has had, 0 first.
The handler of SIGUSR1 says it; those of SIGUSR2 and SIGINT raise, and the main thread says it when it waits again, with
the names of what came along that is not its own: exceptions of other kinds, files of other names in the traceback.
So whoever sends the next signal only when the last number was said loses none. Nothing ends it but a SIGKILL, which it
gets when its parent ends.
"""

import ctypes
import os
import select
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

LONG_S = 3600
PR_SET_PDEATHSIG = 1


class Interruption(BaseException):
    """Raised by the handler of SIGUSR2."""


class Signals:
    """What has come so far."""

    def __init__(self):
        self.count = 0

    def counted(self, _number, _frame):
        """The handler that returns."""
        self.count += 1
        line_protocol.say(str(self.count))

    def raised(self, _number, _frame):
        """The handler that does not."""
        raise Interruption


def waits():
    """What a main thread may wait in, for ever."""
    lock = threading.Lock()
    lock.acquire()
    reading, _writing = os.pipe()

    def work():
        n = 0
        while True:
            n = (n + 1) % 1000

    return {
        "sleep": lambda: time.sleep(LONG_S),
        "lock": lock.acquire,
        "read": lambda: os.read(reading, 1),
        "select": lambda: select.select([reading], [], []),
        "work": work,
    }


def foreign(error):
    """The names of what an exception brings along that is not this program's."""
    names = [] if isinstance(error, (Interruption, KeyboardInterrupt)) else [repr(error)]
    trace = error.__traceback__
    while trace is not None:
        if os.path.dirname(trace.tb_frame.f_code.co_filename) != os.path.dirname(__file__):
            names.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return names + ([repr(error.__context__)] if error.__context__ else [])


def main():
    """Waits until it is killed, or its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgrp()
    signals, wait, strange = Signals(), waits()[sys.argv[1]], []
    signal.signal(signal.SIGUSR1, signals.counted)
    signal.signal(signal.SIGUSR2, signals.raised)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    line_protocol.ready()
    while True:
        try:
            # Said inside of the try: nobody sends a signal before.
            line_protocol.say(" ".join([str(signals.count), *strange]))
            while True:
                wait()
        except BaseException as error:  # noqa: BLE001 -- whatever came of a signal is told
            signals.count += 1
            strange += foreign(error)


if __name__ == "__main__":
    main()
