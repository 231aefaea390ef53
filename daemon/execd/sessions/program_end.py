"""The end of a process that waits for us: of a program that `execctl run` started, and of a tree's."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from execd.errors import ExecdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.sessions.live import LiveTarget

# How long an end waits for the sources to be compiled; waits.py waits for 5 s in all.
SOURCES_S = 2.0
# How long the end of the sessions is waited for once the process is gone.
SETTLED_S = 10.0
# How often is looked whether a request of another thread has taken in that the process is about to end.
_LOOK_S = 1.0
_PAUSE_S = 0.01
# A channel closes an instant before its process is gone for good; on a busy machine the instant is long.
_GONE_S = 1.0


def ends_by_itself(live: LiveTarget) -> bool:
    """Sleep until a process says that it is about to end; False where it, or its agent, is gone without a word."""
    events: dict[int, int] = {}
    while not live.gone:
        number = live.link.channel.fileno()
        if number < 0:
            break
        try:
            # Before it is waited for, too: it may have come behind the answer to another thread's request.
            if live.link.channel.hear_of_end():
                return True
        except ExecdError:
            break  # the pulse sees it too, and ends what runs
        if live.link.pidfd in events or events.get(number, 0) & (select.POLLRDHUP | select.POLLHUP):
            break
        poller = select.poll()
        poller.register(number, select.POLLIN | select.POLLRDHUP)
        poller.register(live.link.pidfd, select.POLLIN)
        events = dict(poller.poll(_LOOK_S * 1000))
    return False


def is_gone(pidfd: int, executes_another: Callable[[], bool]) -> bool:
    """Whether a process whose channel has closed is no more, or will be in an instant.

    Args:
        pidfd: of the process.
        executes_another: whether it goes on as another program, which closes the channel, too.
    """
    # Not select(), which takes no descriptor above 1023.
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + _GONE_S
    while not poller.poll(_PAUSE_S * 1000):
        if executes_another() or time.monotonic() > deadline:
            return False
    return True


def settled(condition: Callable[[], bool]) -> None:
    """Wait, for some seconds, for what another thread is about to do."""
    deadline = time.monotonic() + SETTLED_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
