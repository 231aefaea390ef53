"""uvicorn on 127.0.0.1, on asyncio and h11; "ready PORT" names its port.

The first argument is the folder in which uvicorn lies. Known: every GET of /N answers 200 with the N-th Fibonacci
number, computed by recursion. A second thread answers "state" with what this process holds, "trimmed"
with what it takes when malloc has given back the rest, "in-use" with what it has allocated.
"""

import asyncio
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, sys.argv[1])

import allocated
import line_protocol
import uvicorn
import workload


async def application(scope, _receive, send):
    """One request."""
    body = str(workload.fibonacci(int(scope["path"][1:]))).encode("ascii")
    headers = [(b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    """Says when it serves."""

    async def startup(self, sockets=None):
        """As its base class, and one line."""
        await super().startup(sockets)
        line_protocol.ready(sockets[0].getsockname()[1])


def main():
    """Never returns."""
    # With the protocol named, or asyncio would not turn the delay of small packets off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    settings = {"lifespan": "off", "log_level": "warning", "loop": "asyncio", "http": "h11"}
    memory = {"trimmed": line_protocol.trimmed_kib, "in-use": allocated.in_use}
    line_protocol.serve_beside({"state": line_protocol.state, **memory})
    asyncio.run(Server(uvicorn.Config(application, **settings)).serve([listener]))


if __name__ == "__main__":
    main()
