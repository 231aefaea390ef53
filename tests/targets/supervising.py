"""A parent that waits for its children; the argument says how many of its threads work (1), 0 for none but a timer.

Known: "counters" answers how often the parent called `leaf`; "rest" lets it work only now and then, "work" without
pause again. "start" forks a child that works, and answers its PID; "end CODE" ends the last one with that exit code;
"told" answers, for each child, every end or stop that waitpid has told of: [PID, exit code] or [PID, "stopped"].
"storm N MS" forks N children that live for up to so long, and answers how many were told to have ended otherwise than
they did. "exit CODE" ends the program with its main thread, "abrupt CODE" at once, "execute" executes it anew, which
says "ready" again. Nothing is written to stderr.
"""

import os
import signal
import sys
import threading
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

COUNTS = {"leaf": 0}
# Holds something while the threads rest.
RESTING = []
TICK_S = 0.005
ENDS_BY_SIGNAL = 3


def leaf():
    """Some hundred lines."""
    COUNTS["leaf"] += 1
    total = 0
    for value in range(100):
        total += value
    return total


def work():
    """Never returns."""
    while True:
        leaf()
        if RESTING:
            time.sleep(TICK_S)


def told_by(status):
    """What a parent takes a status of waitpid for."""
    return "stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


class Parent:
    """The children, and the exit code of the program once it has one."""

    def __init__(self):
        self.exit_codes = []
        self.told = []
        self.order_fd = -1

    def start(self):
        """One more child, which works."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            threading.Thread(target=end_as_told, args=(reading,), daemon=True).start()
            work()
        os.close(reading)
        if self.order_fd >= 0:
            os.close(self.order_fd)
        self.order_fd = writing
        threading.Thread(target=self.wait_for, args=(child,), name="waiting", daemon=True).start()
        return child

    def wait_for(self, child):
        """Waits for the end of a child, and takes down what is told of it until then."""
        while True:
            _, status = os.waitpid(child, os.WUNTRACED)
            self.told.append([child, told_by(status)])
            if not os.WIFSTOPPED(status):
                return

    def end(self, code):
        """Ends the last child."""
        os.write(self.order_fd, bytes([code]))

    def exit(self, code):
        """Ends the program as soon as the main thread comes to it."""
        self.exit_codes.append(code)

    def run(self, threads):
        """The main thread's life; returns the exit code."""
        for _ in range(threads - 1):
            threading.Thread(target=work, daemon=True).start()
        while not self.exit_codes:
            leaf()
            if RESTING or not threads:
                time.sleep(TICK_S)
        return self.exit_codes[0]


def end_as_told(descriptor):
    """Ends a child with the code that it is told, or when its parent has ended."""
    code = os.read(descriptor, 1)
    os._exit(code[0] if code else 0)


def storm(count, longest_ms):
    """Children of known ends, all at once; how many ended otherwise."""
    children = {}
    for index in range(count):
        by_signal = index % ENDS_BY_SIGNAL == 0
        child = os.fork()
        if child == 0:
            live(longest_ms * (index + 1) / count / 1000)
            if by_signal:
                os.kill(os.getpid(), signal.SIGTERM)
            os._exit(index)
        children[child] = -signal.SIGTERM if by_signal else index
    return sum(told_by(os.waitpid(child, os.WUNTRACED)[1]) != code for child, code in children.items())


def live(seconds):
    """Works a little, now and then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        leaf()
        time.sleep(TICK_S)


def execute():
    """Executes this program anew; does not return."""
    os.execv(sys.executable, [sys.executable, "-I", "-B", os.path.abspath(__file__)])  # noqa: S606 -- itself


def main():
    """Ends with stdin, or as it is told."""
    # From 3.12 on a fork beside threads is warned of.
    warnings.simplefilter("ignore")
    parent = Parent()
    line_protocol.serve_beside(
        {
            "counters": lambda: COUNTS,
            "rest": lambda: RESTING.append(True),
            "work": RESTING.clear,
            "start": parent.start,
            "end": parent.end,
            "told": lambda: parent.told,
            "storm": storm,
            "exit": parent.exit,
            "abrupt": os._exit,
            "execute": execute,
        }
    )
    line_protocol.ready()
    sys.exit(parent.run(int(sys.argv[1]) if sys.argv[1:] else 1))


if __name__ == "__main__":
    main()
