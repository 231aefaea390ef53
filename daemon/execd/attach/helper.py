"""The helper process: makes the ptrace calls of an attach in one thread of its own, and can be killed at any point.

The daemon starts it once and sends requests over a socket (see attacher.py). Its death, at whatever instant, lets go of
every thread that it held, and the target goes on by itself: that is the last of all time limits.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from typing import Any

from execd.attach import text
from execd.attach.attachment import Attached, AttachOrder, Kit, attach, examine
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.readiness import is_readable
from execd.errors import ExecdError, TargetGone

_MESSAGE_LIMIT = 1 << 20
# While what the daemon does with an answer must not wait for the processor, nor the agent that it asks.
_TIDY_AFTER_S = 0.02
_COLLECT_AFTER_S = 0.2
# In which all threads of a process that was killed are gone.
_RELEASE_S = 0.05
# Orders, each of which leaves some cycles.
_UNCOLLECTED_LIMIT = 32


def serve(control: socket.socket, kit: Kit) -> None:
    """Answer requests until the daemon is gone. The fault tests bring a kit of their own."""
    uncollected = 0
    while message := _next(control):
        request = json.loads(message)
        if request["op"] == "cancel":
            continue  # of an order that had come to its end by itself
        if _is_closed(control):
            return  # the daemon died before we could read it: nobody wants an agent any more
        if not _carry_out(request, control, kit):
            return
        if not _released(kit.ptrace):
            # A thread did not stop in time and will stop when it can: only our end makes the kernel let go of it.
            os._exit(1)
        uncollected += 1
        if uncollected >= _UNCOLLECTED_LIMIT or not _is_readable(control, _COLLECT_AFTER_S):
            gc.collect()
            uncollected = 0


def _next(control: socket.socket) -> bytes:
    """Return the next message, nothing once the daemon is gone."""
    try:
        return control.recv(_MESSAGE_LIMIT)
    except ConnectionResetError:
        return b""  # it was killed before it had read an answer


def _carry_out(request: dict[str, Any], control: socket.socket, kit: Kit) -> bool:
    """Carry an order out. Returns False where the daemon was killed: nobody is left to tell."""
    try:
        order = AttachOrder(**{name: request[name] for name in AttachOrder.__dataclass_fields__})
        if request["op"] == "examine":
            return _tell(control, {"checks": examine(order, kit)})
        with attach(order, kit, lambda: _is_readable(control, 0)) as attached:
            told = _tell(control, _facts(attached), attached.channel.fileno(), attached.pidfd)
            kit.ptrace.release()
            # Until the collector is armed, or there is more to do.
            _is_readable(control, _TIDY_AFTER_S)
            return told
    except ExecdError as error:
        return _tell(control, _error_reply(error))
    except ProcessLookupError:
        return _tell(control, _error_reply(TargetGone(f"process {request.get('pid')} has ended")))


def _facts(attached: Attached) -> dict[str, object]:
    told = ("method", "stopped_us", "nonce", "core_hindrance")
    return {name: getattr(attached, name) for name in told}


def _tell(control: socket.socket, reply: dict[str, object], *descriptors: int) -> bool:
    try:
        socket.send_fds(control, [json.dumps(reply).encode()], descriptors)
    except BrokenPipeError:
        return False
    return True


def _released(ptrace: Ptrace) -> bool:
    deadline = time.monotonic() + _RELEASE_S
    while not (released := ptrace.release()) and time.monotonic() < deadline:
        time.sleep(_RELEASE_S / 50)
    return released


def _is_closed(control: socket.socket) -> bool:
    """Tell whether the daemon is gone: what it sent before stays to be read."""
    try:
        return _is_readable(control, 0) and not control.recv(1, socket.MSG_PEEK)
    except ConnectionError:
        return True


def _is_readable(control: socket.socket, seconds: float) -> bool:
    """Wait for so long for the daemon. While an attach goes on it speaks only to cancel it, or ends."""
    return is_readable(control.fileno(), seconds)


def _be_quick() -> None:
    """Keep garbage collections from holding up a stopped target; helper_process.py does it with others' turns."""
    gc.disable()
    # What is there from the start stays, and need not be looked at again.
    gc.freeze()


def _error_reply(error: ExecdError) -> dict[str, object]:
    return {"error": error.kind, "message": error.message, "remedy": error.remedy, "facts": error.facts}


def main() -> None:
    """Serve on the socket that is our standard input. Signals for the daemon's terminal are not for us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    kit = Kit(Finder(), text.read_agent(), Ptrace())
    _be_quick()
    serve(control, kit)


if __name__ == "__main__":
    main()
