"""A helper process that dies by SIGKILL after its N-th ptrace call, with N one more for each order.

That goes on until an order comes to its end before its helper does. Started as the attach helper is, with its
socket as standard input. Each helper that dies is a fork of this process, so that no interpreter has to start for it;
its order is answered here with the error "killed after call N", if it had not answered it itself.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from typing import Any

from execd.attach import helper
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent

ORDER_LIMIT = 1 << 20


class DyingPtrace(Ptrace):
    """Counts the calls, and kills its own process after the last one that it is granted."""

    def __init__(self, granted: int) -> None:
        super().__init__()
        self._granted = granted

    def call(self, request: int, tid: int, address: int, data: int) -> int:
        """Makes one call."""
        result = super().call(request, tid, address, data)
        self._made()
        return result

    def rseq(self, tid: int) -> int:
        """The one call that does not go through `call`."""
        address = super().rseq(tid)
        self._made()
        return address

    def _made(self) -> None:
        self._granted -= 1
        if not self._granted:
            os.kill(os.getpid(), signal.SIGKILL)


class Telling(socket.socket):
    """Our end to the daemon, which tells on a pipe when something has been sent there."""

    told: int

    def sendmsg(self, *arguments: Any) -> int:
        """Sends as every socket does."""
        sent = super().sendmsg(*arguments)
        os.write(self.told, b"1")
        return sent


def serve(control: Telling) -> None:
    """Sends one helper after the other into its death, until one serves to the end of the test."""
    answers, control.told = os.pipe()
    os.set_blocking(answers, False)
    finder, agent = Finder(), read_agent()
    for granted in itertools.count(1):
        if not (order := control.recv(ORDER_LIMIT, socket.MSG_PEEK)):
            return
        # Read before the fork, once for all of them: the interpreter's files are remembered.
        finder.version(json.loads(order)["pid"])
        pid = os.fork()
        if pid == 0:
            helper.serve(control, helper.Kit(finder, agent, DyingPtrace(granted)))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL:
            return
        with contextlib.suppress(BlockingIOError):
            if os.read(answers, 1):
                continue
        facts = {"error": "attach_timeout", "message": f"killed after call {granted}", "remedy": "", "facts": {}}
        control.send(json.dumps(facts).encode())


if __name__ == "__main__":
    serve(Telling(fileno=os.dup(sys.stdin.fileno())))
