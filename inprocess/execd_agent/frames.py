"""Frames: what threads run now.

Whoever holds a frame keeps what its locals hold, past the end of its call. A frame of ours that one of its own locals
holds is a cycle: the target's objects in it stay until a collection, which ends them in any order.
"""

from __future__ import annotations

import sys

from execd_agent import originals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


def _all_frames() -> Iterator[dict[int, FrameType]]:
    """Return what yields the frames of all threads to a function in C.

    A thread may have to let others run after any call of Python code's, and would hold all these frames meanwhile.
    """
    return iter(sys._current_frames, None)


def thread_ids() -> set[int]:
    """Return the identifiers of the threads that run Python code, the calling one among them."""
    return next(map(set, _all_frames()))


def innermost_frame(ident: int) -> FrameType | None:
    """Return the innermost frame of another thread, None where it has none."""
    return next(map(dict.get, _all_frames(), (ident,)))


def innermost_frames() -> Iterator[tuple[int, FrameType]]:
    """Yield the identifier and the innermost frame of every thread but the calling one, one after the other.

    All at once would be held for long: what ends meanwhile ends its objects here, and not in its own thread.
    """
    for ident in thread_ids() - {originals.current_thread_id()}:
        frame = innermost_frame(ident)
        if frame is not None:
            yield ident, frame
