"""A master that forks workers and replaces them on SIGHUP, as gunicorn does; an argument "error" raises every warning.

Known: it says the PIDs of its workers first and after each reload. A worker calls functions until it gets SIGTERM, and
ends with exit code 0 where it had, at the latest a second after its start, what the program started with. "unclean"
answers how many workers did not end so; the end of stdin ends all of them.
"""

import json
import os
import select
import signal
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol
import storming
import workload

WORKERS = 2


class Master:
    """The workers, and what its signals have asked for."""

    def __init__(self):
        self.before = storming.holdings()
        self.reading, self.writing = os.pipe()
        self.looked, self.looking = os.pipe()
        self.workers = []
        self.unclean = 0

    def work(self):
        """A worker's life; ends the process."""
        ending = []
        signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        wrong = storming.unclean(self.before)
        if wrong:
            os.write(2, repr(wrong).encode())
        os.write(self.looking, b"x")
        while not ending:
            workload.repeat(1)
        os._exit(1 if wrong else 0)

    def fork(self):
        """Starts as many workers as it has."""
        # A worker that has no handler yet would be ended by the signal itself.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        for _ in range(WORKERS):
            pid = os.fork()
            if pid == 0:
                self.work()
            self.workers.append(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        # Whoever attaches to a worker does so when it has looked at itself.
        looked = 0
        while looked < WORKERS:
            looked += len(os.read(self.looked, WORKERS))
        line_protocol.say(json.dumps(self.workers[-WORKERS:]))

    def end(self, pids):
        """Ends workers and waits for them."""
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            _, status = os.waitpid(pid, 0)
            self.unclean += status != 0
            self.workers.remove(pid)

    def run(self):
        """Goes on until stdin ends."""
        while True:
            readable, _, _ = select.select([line_protocol.STDIN_FD, self.reading], [], [])
            if self.reading in readable:
                os.read(self.reading, 1)
                old = list(self.workers)
                self.fork()
                self.end(old)
            if line_protocol.STDIN_FD in readable:
                line = os.read(line_protocol.STDIN_FD, line_protocol.CHUNK_BYTES)
                if not line:
                    return
                line_protocol.answer(line.decode("ascii").strip(), {"unclean": lambda: self.unclean})


def main():
    """The master."""
    if sys.argv[1:] == ["error"]:
        warnings.simplefilter("error")
    master = Master()
    signal.signal(signal.SIGHUP, lambda *_: os.write(master.writing, b"x"))
    line_protocol.ready()
    try:
        master.fork()
        master.run()
    finally:
        master.end(list(master.workers))


if __name__ == "__main__":
    main()
