"""gunicorn on 127.0.0.1 with 8 gthread workers; "ready PORT" names its port.

The first argument is the folder in which gunicorn lies. "told" answers how many workers have ended and how many
requests they had answered. Known: every GET is answered 200 by one call of `counted`; a
worker that ends tells how many. SIGHUP replaces all workers. The end of stdin ends all.
"""

import os
import signal
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, sys.argv[1])

import gunicorn.app.base
import line_protocol

WORKERS, THREADS = 8, 2
answered = [0]
lock = threading.Lock()
folder = tempfile.mkdtemp()


def counted():
    """What is counted."""
    with lock:
        answered[0] += 1


def application(_environ, start_response):
    """One request."""
    counted()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def leave(_server, worker):
    """Runs in a worker that ends."""
    with open(os.path.join(folder, str(worker.pid)), "w", encoding="ascii") as file:
        file.write(str(answered[0]))


def begin(server):
    """Runs in the master when it serves."""

    def end_with_stdin():
        line_protocol.serve({"told": told})
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_stdin, name="commands", daemon=True).start()
    line_protocol.ready(str(server.LISTENERS[0].getsockname()[1]))


def told():
    """How many workers have ended and what they have answered."""
    counts = []
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="ascii") as file:
            counts.append(int(file.read() or 0))
    return [len(counts), sum(counts)]


SETTINGS = {
    "bind": "127.0.0.1:0",
    "worker_class": "gthread",
    "workers": WORKERS,
    "threads": THREADS,
    "timeout": 300,
    "loglevel": "warning",
    "when_ready": begin,
    "worker_exit": leave,
    "control_socket_disable": True,
}


class Server(gunicorn.app.base.BaseApplication):
    """gunicorn, configured here and not by a command line."""

    def load_config(self):
        """Older ones do not have all settings."""
        for name, value in SETTINGS.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self):
        """What the workers serve."""
        return application


if __name__ == "__main__":
    Server().run()
