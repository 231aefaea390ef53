"""What a program's interpreter runs first that `execctl run` starts: the agent's start, and a gate in the main thread.

`execd.attach.startup` wraps this file into a module `sitecustomize` in an archive that only an inherited descriptor
leads to; site imports it. Executed with `given` as its one global: launch and bootstrap, code or source; marker (that
descriptor) and descriptor (our end of the channel); before (PYTHONPATH as bytes, None where it was not set); nonce,
sizes (see bootstrap.py); waits, whether something is armed at once; gates, whether something is at the first line.
The gate holds the main thread where the program begins, at a frame of which nothing has run, until the collectors are
armed. No frame of ours is below those of the program.
"""

from __future__ import annotations

import _thread
import atexit
import posix
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    given: dict[str, Any]

# A daemon that does not come holds nobody up for longer: in all at the start, and in all at the end.
_PATIENCE_S = 10.0
_END_S = 5.0


def tidy() -> None:
    """Leave the environment, sys.path and the descriptors as they would be without us."""
    os, path = sys.modules["os"], "/proc/self/fd/%d" % given["marker"]
    for number in (given["descriptor"], given["marker"]):
        posix.set_inheritable(number, False)
    if given["before"] is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environb[b"PYTHONPATH"] = given["before"]
    sys.path[:] = [entry for entry in sys.path if entry != path]
    sys.path_importer_cache.pop(path, None)
    sys.modules["zipimport"]._zip_directory_cache.pop(path, None)
    posix.ftruncate(given["marker"], 0)


def settings(start: dict[str, Any]) -> dict[str, Any]:
    """Return what launch.py and bootstrap.py need; entry.py shares `start` with us."""
    files = []
    for number in (given["marker"], given["descriptor"]):
        facts = posix.fstat(number)
        files.append((number, facts.st_dev, facts.st_ino))
    # There is no other end of the channel here to be closed.
    shared = {"peer": -1, "files": files, "pid": posix.getpid(), "start": start, "main_thread": _thread.get_ident()}
    return {**shared, **{name: given[name] for name in ("descriptor", "marker", "nonce", "sizes")}}


def make_wait(start: dict[str, Any]) -> Any:
    """Return what waits until the lock of a name is let go of, and notes those that it gave up."""
    left_s = [_PATIENCE_S]

    def wait(name: str) -> None:
        began = monotonic()
        if not start[name].acquire(True, left_s[0]):
            start["missed"].append(name)
        left_s[0] = max(left_s[0] - (monotonic() - began), 0.0)

    return wait


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


def make_end(start: dict[str, Any], pid: int) -> Any:
    """Return what the interpreter calls last: it waits until the daemon has the last state."""

    def end() -> None:
        if posix.getpid() != pid:
            return
        start["ended"] = True
        deadline = monotonic() + _END_S
        try:
            if start["tell"] is None:
                start["said"].acquire(True, _END_S)
            tell = start["tell"]
            if tell is not None:
                tell(deadline)
                start["over"].acquire(True, max(deadline - monotonic(), 0.0))
        except BaseException:  # noqa: BLE001, S110 - of a signal handler, which would have come after the end
            pass

    return end


def make_let_go(start: dict[str, Any], end: Any) -> Any:
    """Return what the agent calls when it leaves: the program waits for nothing any more, and forgets us."""

    def let_go() -> None:
        start["tell"] = None
        for name in ("early", "opened", "said", "over"):
            if start[name].locked():
                start[name].release()
        # What the interpreter is just calling stays.
        if not start["ended"]:
            # It compares with what the program has registered, which may raise: then it stays.
            try:  # noqa: SIM105 - contextlib would be one more module in the target
                atexit.unregister(end)
            except BaseException:  # noqa: BLE001, S110
                pass

    return let_go


def begin() -> None:
    """Start the agent and set the gate."""
    tidy()
    start: dict[str, Any] = {"entering": [], "missed": [], "ended": False, "tell": None}
    for name in ("early", "arrived", "opened", "said", "over"):
        start[name] = _thread.allocate_lock()
        start[name].acquire()
    end, wait = make_end(start, posix.getpid()), make_wait(start)
    # The first to be registered is the last to be called.
    atexit.register(end)
    frozen = vars(sys.modules["_frozen_importlib"])
    names = {"__builtins__": frozen["__builtins__"], "frozen": frozen, "bootstrap": given["bootstrap"]}
    exec(given["launch"], {**names, "settings": {**settings(start), "let_go": make_let_go(start, end)}})  # noqa: S102 - it is ours
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
