"""What a program's interpreter runs first that `execctl run` starts: the agent's start, and a gate in the main thread.

`execd.attach.startup` wraps `waits.py` and this file into a module `sitecustomize` in an archive that only an inherited
descriptor leads to; site imports it. Executed with `given` as its one global: launch and bootstrap, code or source;
marker (that descriptor) and descriptor (our end of the channel); before (PYTHONPATH as bytes, None where it was not
set); nonce, sizes (see bootstrap.py); waits, whether something is armed at once; gates, whether something is at the
first line; heirs, None, or where descendants are recorded that execute an interpreter too: the daemon's socket, what
to say there, and the time limit of reads and writes in seconds. Those find the same archive in the program that was
started, by an environment that is left to them.
The gate holds the main thread where the program begins, at a frame of which nothing has run, until the collectors are
armed. No frame of ours is below those of the program.
"""

from __future__ import annotations

import _thread
import atexit
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    # That file is in front of this one.
    from execd_agent.waits import make_end, make_let_go, make_start, make_wait  # noqa: TC004

    given: dict[str, Any]

# A daemon that does not come holds nobody up for longer, in all at the start.
_PATIENCE_S = 10.0
_COME_S = 5.0


def own_path() -> str:
    """Return where the archive is in the program that inherits it."""
    return "/proc/self/fd/%d" % given["marker"]


def tidy() -> None:
    """Leave sys.path and the descriptors as they would be without us, and the environment, but for descendants."""
    path = own_path()
    for number in (given["descriptor"], given["marker"]):
        posix.set_inheritable(number, False)
    environment = sys.modules["os"].environb
    if given["heirs"] is not None:
        left = b"/proc/%d/fd/%d" % (posix.getpid(), given["marker"])
        environment[b"PYTHONPATH"] = left if given["before"] is None else left + b":" + given["before"]
    elif given["before"] is None:
        del environment[b"PYTHONPATH"]
    else:
        environment[b"PYTHONPATH"] = given["before"]
    forget_path(path)
    if given["heirs"] is None:
        posix.ftruncate(given["marker"], 0)


def forget_path(path: str) -> None:
    """Take the archive out of where modules are looked for."""
    sys.path[:] = [entry for entry in sys.path if entry != path]
    sys.path_importer_cache.pop(path, None)
    sys.modules["zipimport"]._zip_directory_cache.pop(path, None)


def come() -> None:
    """Connect a descendant to the daemon, which may have gone: the descendant goes on then as without us."""
    # Programs that have no descendants recorded need neither.
    import _socket  # noqa: PLC0415
    import _struct  # noqa: PLC0415

    forget_path(sys.modules["os"].environ["PYTHONPATH"].partition(":")[0])
    address, token, dead_man_s = given["heirs"]
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_COME_S)
        connection.connect(address)
        connection.send(token)
        if not connection.recv(1):
            raise OSError("not let in")
        connection.setblocking(True)
        limit = _struct.pack("ll", dead_man_s, 0)
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, limit)
        connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, limit)
        given["descriptor"], given["marker"] = connection.detach(), -1
    finally:
        connection.close()


def settings(start: dict[str, Any]) -> dict[str, Any]:
    """Return what launch.py and bootstrap.py need; entry.py shares `start` with us."""
    files = []
    for number in filter(lambda number: number >= 0, (given["marker"], given["descriptor"])):
        facts = posix.fstat(number)
        files.append((number, facts.st_dev, facts.st_ino))
    # There is no other end of the channel here to be closed.
    shared = {"peer": -1, "files": files, "pid": posix.getpid(), "start": start, "main_thread": _thread.get_ident()}
    return {**shared, **{name: given[name] for name in ("descriptor", "marker", "nonce", "sizes")}}


def make_gate(start: dict[str, Any], wait: Any, pid: int) -> Any:
    """Return the profile function that stops the main thread where the main program begins, once."""

    def gate(frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call":
            return
        if posix.getpid() != pid:
            # There is no agent in a child.
            sys.setprofile(None)
            return
        if frame.f_code.co_name != "<module>" or frame.f_globals.get("__name__") != "__main__":
            return
        sys.setprofile(None)
        start["arrived"].release()
        wait("opened")
        # They have not heard of this call, for they came after it. They look for this frame two above their own.
        for enter in start["entering"]:
            enter(frame.f_code)
        start["entering"].clear()

    return gate


def begin() -> None:
    """Start the agent and set the gate."""
    if own_path() in sys.path:
        tidy()
    else:
        come()
    start = make_start(_thread.allocate_lock)
    end, wait = make_end(start, posix.getpid()), make_wait(start, _PATIENCE_S)
    # The first to be registered is the last to be called.
    atexit.register(end)
    frozen = vars(sys.modules["_frozen_importlib"])
    names = {"__builtins__": frozen["__builtins__"], "frozen": frozen, "bootstrap": given["bootstrap"]}
    let_go = make_let_go(start, lambda: atexit.unregister(end))
    exec(given["launch"], {**names, "settings": {**settings(start), "let_go": let_go}})  # noqa: S102 - it is ours
    if given["waits"]:
        wait("early")
    if given["gates"]:
        # Any use of it makes 3.12 and newer allocate 72 bytes for each code object that runs later.
        sys.setprofile(make_gate(start, wait, posix.getpid()))


try:
    begin()
finally:
    # Functions and the namespace that they are defined in are a cycle. What stays needs these of it.
    for name in [*globals()]:
        if name not in ("__builtins__", "atexit", "monotonic", "posix", "sys", "_END_S"):
            del globals()[name]
