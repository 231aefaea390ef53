"""What a program waits for at its beginning and at its end, where both are recorded; held by locks that we let go of.

Used by `offspring.py`, and by `startup.py`, in front of which `execd.attach.startup` puts this file: no module of ours
is there yet.
"""

from __future__ import annotations

import posix
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# A daemon that does not come holds nobody up for longer, in all at the end.
_END_S = 5.0


def make_start(new_lock: Callable[[], Any]) -> dict[str, Any]:
    """Return what a program's beginning and the agent share: locks that are held, and what both note down.

    Keys: early, arrived, opened, said, over (locks; entry.py says what for), entering, missed, ended, tell.
    """
    start: dict[str, Any] = {"entering": [], "missed": [], "ended": False, "tell": None}
    for name in ("early", "arrived", "opened", "said", "over"):
        start[name] = new_lock()
        start[name].acquire()
    return start


def make_wait(start: dict[str, Any], patience_s: float) -> Callable[[str], None]:
    """Return what waits until the lock of a name is let go of, and notes those that it gave up.

    Args:
        start: with the locks.
        patience_s: for how long it waits in all.
    """
    left_s = [patience_s]

    def wait(name: str) -> None:
        began = monotonic()
        if not start[name].acquire(True, left_s[0]):
            start["missed"].append(name)
        left_s[0] = max(left_s[0] - (monotonic() - began), 0.0)

    return wait


def make_end(start: dict[str, Any], pid: int) -> Callable[[], None]:
    """Return what the interpreter calls last: it waits until the daemon has the last state."""

    def end() -> None:
        if posix.getpid() != pid or start["ended"]:
            return
        start["ended"] = True
        if start["missed"] and start["early"].locked() and start["opened"].locked():
            # A daemon that has not come at the beginning has nothing of it.
            return
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


def make_let_go(start: dict[str, Any], undo: Callable[[], Any]) -> Callable[[], None]:
    """Return what the agent calls when it leaves: the program waits for nothing any more, and forgets us.

    Args:
        start: with the locks.
        undo: takes `end` out of where the interpreter finds it. It compares with what the program has put there, which
            may raise: then it stays.
    """

    def let_go() -> None:
        start["tell"] = None
        for name in ("early", "opened", "said", "over"):
            if start[name].locked():
                start[name].release()
        # What the interpreter is just calling stays.
        if not start["ended"]:
            try:  # noqa: SIM105 - contextlib would be one more module in the target
                undo()
            except BaseException:  # noqa: BLE001, S110 - as it says
                pass

    return let_go
