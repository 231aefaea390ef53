"""Traces made by hand: tables as an agent hands them over."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from execd_agent import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

PID = 4711
# The function of all events, with its file.
NAMES = ("work", "/app/shop/basket.py")
Event = tuple[int, int, int]


def batch(events: Sequence[Event], first: int = 0, base_ns: int = 0, thread: str = "MainThread", **facts: int) -> bytes:
    """A table of events.

    Args:
        events: of each its time (ns), its line (0 for a call), and how many it stands for where it is a mark.
        first: the number of the first.
        base_ns: what the times count from.
        thread: whose events they are.
        **facts: further figures.
    """
    texts = [name.encode() for name in NAMES]
    lines = sorted({line for _, line, _ in events})
    kinds = [2 if lost else (0 if line else 1) for _, line, lost in events]
    arrays = [
        ("text_bytes", "u1", b"".join(texts)),
        ("text_lengths", "i4", array("i", map(len, texts)).tobytes()),
        ("functions", "i4", array("i", (0, 0, 1, 10)).tobytes()),
        ("locations", "i4", array("i", [word for line in lines for word in (0, line)]).tobytes()),
        ("parents", "i4", array("i", [-1] * len(events)).tobytes()),
        ("node_locations", "i4", array("i", [lines.index(line) for _, line, _ in events]).tobytes()),
        ("node_labels", "i4", array("i", [0] * len(events)).tobytes()),
        ("time_ns", "i8", array("q", [time_ns for time_ns, _, _ in events]).tobytes()),
        ("kind", "i8", array("q", kinds).tobytes()),
        ("lost", "i8", array("q", [lost for _, _, lost in events]).tobytes()),
    ]
    label = {"thread_id": 9, "thread_name": thread, "domain": 0}
    extra = {"first": first, "base_ns": base_ns, "now_ns": base_ns, "complete": 0, **facts}
    return wire.encode_table({"labels": [label], "lost": {}, "caveats": [], "extra": extra}, arrays)
