"""The code objects that a collector has met, and which of them it tells of.

A code object stays alive while it is known here, for its id stands for it: its hash would be made of all of it at each
use, and equal ones of two files are one in a dict.
"""

from __future__ import annotations

import _thread
import itertools
import sys

from execd_agent import originals
from execd_agent.collectors.calltree import code_bytes
from execd_agent.collectors.selection import library
from execd_agent.collectors.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

    from execd_agent.collectors.selection import Selection

DEFAULT_MAX_BYTES = 32 << 20
# What it takes to know one.
_ENTRY_BYTES = 150


class Counter:
    """A number that several threads count up.

    The interpreter may change threads between any two of its instructions (3.9) or at a call (all versions), but not
    within a C function. `up` is one.
    """

    __slots__ = ("up",)

    def __init__(self) -> None:
        self.up = itertools.count().__next__

    def value(self) -> int:
        """Return how often `up` was called."""
        return counted(self.up)


def counted(up: Any) -> int:
    """Return how often such a function was called."""
    # count(5): another way to look without counting was taken away in 3.14.
    return int(repr(up.__self__)[6:-1])


class Places:
    """Code objects by their id: those told of, and those left out.

    Args:
        selection: decides.
        max_bytes: what may be kept of them, with what their owner adds to `used_bytes`.
    """

    def __init__(self, selection: Selection, max_bytes: int) -> None:
        self.known: dict[int, CodeType] = {}
        self.used_bytes = 0
        self.lost = Counter()
        self.max_bytes = max_bytes
        self._ignored: dict[int, CodeType] = {}
        self._selection = selection
        self._thread_id = originals.original(_thread, "get_ident")
        self._own_thread = 0

    def ignore_this_thread(self) -> None:
        """Let the calling thread be ours: what it runs of the standard library is none of the program's."""
        self._own_thread = self._thread_id()

    def is_own_thread(self) -> bool:
        """Tell whether the calling thread is ours."""
        return bool(self._thread_id() == self._own_thread)

    def meet(self, code: CodeType, frame: FrameType) -> bool | None:
        """Tell whether a code object is to be told of; None where it is, but there is no room for it."""
        key = id(code)
        if key in self.known:
            return True
        if key in self._ignored:
            return False
        wanted = self._selection.wants(code, frame)
        cost = code_bytes(code) + _ENTRY_BYTES
        if self.used_bytes + cost > self.max_bytes:
            return None if wanted else False
        self.used_bytes += cost
        (self.known if wanted else self._ignored)[key] = code
        return wanted

    def wants(self, code: CodeType, frame: FrameType) -> bool:
        """Tell whether lines of a frame are to be told, see `Subscription`."""
        return self.meet(code, frame) is not False

    def codes(self) -> list[CodeType]:
        """Return all that were met: a handler may have returned DISABLE in each."""
        return list(self.known.values()) + list(self._ignored.values())

    def header(self, span_ns: int, reason: str, caveats: list[str]) -> dict[str, Any]:
        """Return the facts of a table.

        Args:
            span_ns: how long it was recorded.
            reason: why some are missing, where some are.
            caveats: what whoever reads it must know.
        """
        lost = self.lost.value()
        return {
            "span_ns": span_ns,
            "lost": {reason: lost} if lost else {},
            "caveats": list(caveats),
            "extra": target_facts(),
        }

    def free(self) -> None:
        """Let go of them."""
        self.known.clear()
        self._ignored.clear()


def prepare_table() -> None:
    """Load what a snapshot takes before the hooks are on: an import of ours runs the interpreter's own Python code."""
    Table(("prepared",)).encode({})


def target_facts() -> dict[str, Any]:
    """Return what names of modules are made of: the folders that the target imports from."""
    return {
        "search_path": [one for one in sys.path if type(one) is str],
        "prefix": library(sys.base_prefix),
        "exec_prefix": library(sys.exec_prefix),
    }
