"""Getting the GIL soon: beside a busy thread each system call of ours would cost a switch interval of 5 ms.

While a request is worked on, the interpreter's switch interval is short where the agent's thread waits, or gives the
GIL away, and the target's own where it computes: were it short there too, each 0.1 ms of ours would be followed by
0.1 ms of the target's and two changes of threads, and an attach to a busy target would take twice as long.

It is short for one system call at a time. A thread of the target that begins to wait for the GIL while it is asks for
the GIL 0.1 ms later, when we compute, and we would wait for a usual interval to get it back (measured: 0.7 times an
attach, now 0.25).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Haste:
    """A context manager around one call that gives the GIL away. Used by the agent's thread alone.

    Args:
        hurry: makes the interval short, or the target's again; one that the target sets meanwhile stays (launch.py).
    """

    def __init__(self, hurry: Any) -> None:
        self._hurry = hurry
        # The first request follows the hello at once.
        self._wanted = True

    def begin(self) -> None:
        """A request is there."""
        self._wanted = True

    def end(self) -> None:
        """The request is answered: nothing is hurried any more. Also for a forked child, which has the interval."""
        self._wanted = False
        self._hurry(on=False)

    def __enter__(self) -> None:
        if self._wanted:
            self._hurry(on=True)

    def __exit__(self, *_error: object) -> None:
        self._hurry(on=False)
