"""A threaded HTTP server on 127.0.0.1; "ready PORT" names its port.

Known: every GET of /N answers 200 with the N-th Fibonacci number, computed by recursion. "requests" answers
how many were received, "state" what this process holds, "trimmed" what it takes when malloc has given back the rest,
"in-use" what it has allocated. "leak SIZE COUNT" allocates so many objects of so many bytes and keeps them.
"""

import http.server
import itertools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import allocated
import line_protocol
import workload


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with a Fibonacci number, and keeps the connection."""

    protocol_version = "HTTP/1.1"
    # Without it each answer waits for the acknowledgement of its headers.
    disable_nagle_algorithm = True

    def do_GET(self):
        """One request."""
        next(self.server.received)
        body = str(workload.fibonacci(int(self.path[1:]))).encode("ascii")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Keeps stderr empty, so that a test can tell what else was written to it."""


class Server(http.server.ThreadingHTTPServer):
    """Counts the requests."""

    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.received = itertools.count()
        self.leaked = []

    def requests(self):
        """How many were received: the number that the counter would give next."""
        return int(repr(self.received)[len("count(") : -1])

    def leak(self, size, count):
        """Keeps objects for ever."""
        self.leaked.append(allocated.of_size(size, count))


def main():
    """Never returns."""
    server = Server()
    memory = {"trimmed": line_protocol.trimmed_kib, "in-use": allocated.in_use, "leak": server.leak}
    line_protocol.serve_beside({"requests": server.requests, "state": line_protocol.state, **memory})
    line_protocol.ready(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
