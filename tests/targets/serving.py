"""A server that sends back what it gets, under the framework that the first argument names (SERVERS).

Known: it says "ready PORT"; every line that is sent to the port comes back as it was. The second argument is the
folder of the framework's package. The end of stdin ends it.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, sys.argv[2])

import line_protocol

HOST = "127.0.0.1"


def serve_by_uvloop():
    """An asyncio server in uvloop's loop, which waits in C and hides an interrupted wait from Python."""
    import asyncio  # noqa: PLC0415 -- the other server must not load it

    import uvloop  # noqa: PLC0415

    async def answer(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    loop = uvloop.new_event_loop()
    loop.add_reader(line_protocol.STDIN_FD, os._exit, 0)
    server = loop.run_until_complete(asyncio.start_server(answer, HOST, 0))
    line_protocol.ready(str(server.sockets[0].getsockname()[1]))
    loop.run_forever()


def serve_by_gevent():
    """A server of greenlets, with everything patched: socket, threading, time."""
    from gevent import monkey  # noqa: PLC0415 -- it must come first

    monkey.patch_all()
    import gevent  # noqa: PLC0415
    import gevent.os  # noqa: PLC0415
    from gevent.server import StreamServer  # noqa: PLC0415

    def answer(connection, _address):
        with connection.makefile("rwb") as stream:
            for line in stream:
                stream.write(line)
                stream.flush()

    def end_with_stdin():
        gevent.os.make_nonblocking(line_protocol.STDIN_FD)
        gevent.os.nb_read(line_protocol.STDIN_FD, 1)
        os._exit(0)

    gevent.spawn(end_with_stdin)
    server = StreamServer((HOST, 0), answer)
    server.start()
    line_protocol.ready(str(server.server_port))
    server.serve_forever()


SERVERS = {"uvloop": serve_by_uvloop, "gevent": serve_by_gevent}

if __name__ == "__main__":
    SERVERS[sys.argv[1]]()
