"""One thread that starts children without pause, and looks at what they have.

The first argument says how: "fork" (os.fork), "subprocess", "multiprocessing" (its start method fork) or
"forkserver"; with the second argument "error" every warning is raised. Known: a forked child has the descriptors, the
switch interval, the profile function and the warnings filters that the program started with, at the latest after
SETTLES_S; one of the fork server, which executes a program of its own, all but its filters. "results" answers how many
children were started, and how many ended clean and unclean; each unclean one says why on stderr. "state" answers what
the program holds. Else nothing is written to stderr.
"""

import multiprocessing
import os
import select
import subprocess
import sys
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

CHILDREN_AT_ONCE = 6
SETTLES_S = 6.0
POLL_S = 0.002


def holdings():
    """What must not change in a child."""
    return {
        "sockets": sorted(fd for fd in line_protocol.open_fds() if "socket:" in fd or "memfd:" in fd),
        "switch_interval_s": sys.getswitchinterval(),
        "profile": repr(sys.getprofile()),
        "filters": [repr(entry) for entry in warnings.filters],
    }


def unclean(before):
    """What a child has that it should not have, {} where it comes to be clean in time."""
    deadline = time.monotonic() + SETTLES_S
    while True:
        now = holdings()
        wrong = {name: now[name] for name in before if now[name] != before[name]}
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(POLL_S)


def live(before):
    """A child's life; its exit code."""
    wrong = unclean(before)
    if wrong:
        os.write(2, repr(wrong).encode())
    return 1 if wrong else 0


def live_and_exit(before):
    """A child's life under multiprocessing."""
    sys.exit(live(before))


class Fork:
    """Children of os.fork."""

    def start(self, before):
        """One more; what ends it when called."""
        pid = os.fork()
        if pid == 0:
            os._exit(live(before))
        return lambda: self.exit_code(pid)

    def exit_code(self, pid):
        """The exit code of a child, None while it lives."""
        ended, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None


class Subprocess:
    """Children that execute a program."""

    def start(self, _before):
        """One more, with a pipe."""
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""], stdin=subprocess.PIPE)

        def exit_code():
            if child.poll() is not None:
                child.stdin.close()
            return child.returncode

        return exit_code


class Multiprocessing:
    """Children of multiprocessing."""

    def __init__(self, method):
        self.method = method
        self.context = multiprocessing.get_context(method)

    def start(self, before):
        """One more."""
        if self.method == "forkserver":
            before = {name: value for name, value in before.items() if name != "filters"}
        child = self.context.Process(target=live_and_exit, args=(before,))
        child.start()
        return lambda: child.exitcode


class Storm:
    """The loop."""

    def __init__(self, way):
        self.way = way
        self.before = holdings()
        self.living = []
        self.started, self.clean, self.unclean = 0, 0, 0

    def turn(self):
        """Starts a child where there is room, and counts those that have ended."""
        if len(self.living) < CHILDREN_AT_ONCE:
            self.living.append(self.way.start(self.before))
            self.started += 1
        codes = [(child, child()) for child in self.living]
        self.living = [child for child, code in codes if code is None]
        self.clean += sum(1 for _, code in codes if code == 0)
        self.unclean += sum(1 for _, code in codes if code)

    def results(self):
        """Waits for the children that live."""
        while self.living:
            codes = [child() for child in self.living]
            self.clean += codes.count(0)
            self.unclean += sum(1 for code in codes if code)
            self.living = [child for index, child in enumerate(self.living) if codes[index] is None]
            time.sleep(POLL_S)
        return {"started": self.started, "clean": self.clean, "unclean": self.unclean}

    def run(self, actions):
        """Goes on until stdin ends."""
        while True:
            while select.select([line_protocol.STDIN_FD], [], [], 0)[0]:
                line = os.read(line_protocol.STDIN_FD, line_protocol.CHUNK_BYTES)
                if not line:
                    return
                line_protocol.answer(line.decode("ascii").strip(), actions)
            self.turn()


def main():
    """Ends with stdin."""
    way = sys.argv[1]
    if sys.argv[2:] == ["error"]:
        warnings.simplefilter("error")
    ways = {"fork": Fork, "subprocess": Subprocess}
    storm = Storm(ways[way]() if way in ways else Multiprocessing({"multiprocessing": "fork"}.get(way, way)))
    line_protocol.ready()
    storm.run({"results": storm.results, "state": line_protocol.state})
    storm.results()


if __name__ == "__main__":
    main()
