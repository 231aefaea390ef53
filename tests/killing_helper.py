"""A helper process that kills the target by SIGKILL after its N-th ptrace call, with N one more for each order.

Started as the attach helper is, with its socket as standard input.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from execd.attach import helper
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent


class KillingPtrace(Ptrace):
    """Counts the calls, and kills a process after the last one that it is granted."""

    granted = 0
    victim = 0

    def call(self, request: int, tid: int, address: int, data: int) -> int:
        """Makes one call."""
        result = super().call(request, tid, address, data)
        self.granted -= 1
        if not self.granted:
            os.kill(self.victim, signal.SIGKILL)
        return result


class Ordering(socket.socket):
    """Our end to the daemon: with each order one call more is granted."""

    def watch(self, ptrace: KillingPtrace) -> None:
        """Grants the calls to this one."""
        self._ptrace, self._orders = ptrace, 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receives as every socket does."""
        message = super().recv(size, flags)
        if message and not flags:
            self._orders += 1
            self._ptrace.granted, self._ptrace.victim = self._orders, json.loads(message)["pid"]
        return message


if __name__ == "__main__":
    control, killing = Ordering(fileno=os.dup(sys.stdin.fileno())), KillingPtrace()
    control.watch(killing)
    helper.serve(control, helper.Kit(Finder(), read_agent(), killing))
