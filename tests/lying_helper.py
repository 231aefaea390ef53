"""A helper process that attaches to nothing: at the other end of the link that it makes an agent lies.

Started as the attach helper is, with its socket as standard input. Which lie of lies.py an agent tells is the last word
of its target's command line; of another word it tells none.
"""

from __future__ import annotations

import json
import marshal
import os
import socket
import sys
import threading

from execd.attach import process
from execd_agent import wire
from fake_agents import table
from lies import LIES, Lie, announced, reply

ORDER_LIMIT = 1 << 20
HEADER_SIZE = 8
NONCE = "0f" * 8
HELLO = {"protocol": wire.VERSION, "nonce": NONCE, "python_version": "3.13.0", "collectors": ["calls"]}
HONEST = {"start": b'{"form": "python", "caveats": []}', "ping": b"{}", "detach": b'{"loaded_modules": []}'}


def serve(control: socket.socket) -> None:
    """Answers every order with a link."""
    while order := control.recv(ORDER_LIMIT):
        pid = json.loads(order)["pid"]
        ours, theirs = socket.socketpair()
        pidfd = os.pidfd_open(pid)
        threading.Thread(target=be_agent, args=(theirs, process.command_line(pid)[-1]), daemon=True).start()
        facts = {"nonce": NONCE, "method": "a lie", "stopped_us": 1, "core_hindrance": ""}
        socket.send_fds(control, [json.dumps(facts).encode()], [ours.fileno(), pidfd])
        ours.close()
        os.close(pidfd)


def be_agent(connection: socket.socket, name: str) -> None:
    """Answers until the daemon closes the link."""
    lie = LIES.get(name)
    try:
        greet(connection, lie)
        while head := connection.recv(HEADER_SIZE, socket.MSG_WAITALL):
            number = int.from_bytes(head[6:8], "little")
            request = connection.recv(int.from_bytes(head[:4], "little"), socket.MSG_WAITALL)
            operation = marshal.loads(request)["op"]  # noqa: S302 - the daemon under test sent it
            if lie is not None and lie.operation == operation:
                for piece in lie.answer(number):
                    connection.sendall(piece)
            else:
                connection.sendall(honest(operation, number))
    except ConnectionError:
        return  # the daemon has had enough
    finally:
        connection.close()


def greet(connection: socket.socket, lie: Lie | None) -> None:
    """Says what an agent says first."""
    if lie is None or lie.operation != "hello":
        connection.sendall(wire.encode_frame(wire.HELLO, 0, json.dumps(HELLO).encode()))
        return
    for piece in lie.answer(0):
        connection.sendall(piece)


def honest(operation: str, number: int) -> bytes:
    """What an agent answers that is none of the liars."""
    if operation in HONEST:
        return reply(number, HONEST[operation])
    return announced(number) + b"".join(wire.encode_bulk(number, table(7)))


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(sys.stdin.fileno())))
