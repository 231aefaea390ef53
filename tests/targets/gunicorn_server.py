"""gunicorn on 127.0.0.1 with one gthread worker of 4 threads; "ready PORT PID" names its port and the worker's PID.

The first argument is the folder in which gunicorn lies. Known: every GET of /N answers 200 with the N-th Fibonacci
number, computed by recursion. The worker answers "state" with what it holds, "trimmed" with what it takes
when malloc has given back the rest, "in-use" with what it has allocated. The end of stdin ends both processes.
"""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, sys.argv[1])

import allocated
import gunicorn.app.base
import line_protocol
import workload

THREADS = 4


def application(environ, start_response):
    """One request."""
    body = str(workload.fibonacci(int(environ["PATH_INFO"][1:]))).encode("ascii")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def answer_commands():
    """Ends the master too when nobody asks any more; it would start the next worker."""
    memory = {"trimmed": line_protocol.trimmed_kib, "in-use": allocated.in_use}
    line_protocol.serve({"state": line_protocol.state, **memory})
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)


def begin(worker):
    """Runs in the worker before it serves: starts all threads of its pool, which would come one by one."""
    all_there = threading.Barrier(THREADS)
    for waiting in [worker.tpool.submit(all_there.wait) for _ in range(THREADS)]:
        waiting.result()
    threading.Thread(target=answer_commands, name="commands", daemon=True).start()
    line_protocol.ready(f"{worker.sockets[0].getsockname()[1]} {os.getpid()}")


SETTINGS = {
    "bind": "127.0.0.1:0",
    "worker_class": "gthread",
    "threads": THREADS,
    "keepalive": 30,
    "timeout": 300,
    "loglevel": "warning",
    "post_worker_init": begin,
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
        """What the worker serves."""
        return application


if __name__ == "__main__":
    Server().run()
