"""Windows of samples for tests: made by hand, as a client gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from execctl.api.windows import STATES, SampleWindow, ViewCounts, WindowPlace, WindowRow, WindowThread

if TYPE_CHECKING:
    from collections.abc import Iterable

# ESC, a carriage return, a line end, marks of no width and of direction, letters of two columns.
HOSTILE = "evil\x1b[2J\r\n\u202e\u200b漢字" * 30


class Met(NamedTuple):
    """A place that was met.

    Attributes:
        name: of the function.
        own: samples by view, wall, cpu, gil, where it was innermost.
        total: those where it was in the stack.
        file: its file.
        line: in it.
    """

    name: str
    own: tuple[int, int, int]
    total: tuple[int, int, int]
    file: str = "/srv/shop/orders.py"
    line: int = 7


# Of 10 looks at two threads: one ran 6 times, once without the GIL; once it waited for the GIL.
ORDERS = (
    Met("main", (0, 0, 0), (10, 6, 5)),
    Met("Server.handle", (2, 2, 2), (8, 6, 5), line=20),
    Met("tax_percent", (5, 4, 3), (5, 4, 3), line=33),
    Met("wait", (13, 0, 0), (13, 0, 0), "/usr/lib/python3.11/threading.py", 604),
)
ORDER_STATES = (5, 1, 0, 1, 13)


def window(
    met: Iterable[Met] = ORDERS,
    states: Iterable[int] = ORDER_STATES,
    *,
    second: int = 0,
    threads: Iterable[WindowThread] | None = None,
) -> SampleWindow:
    """A window of one second in which all threads were looked at ten times.

    Args:
        met: the functions, each with one line.
        states: samples, as STATES has them.
        second: when it began.
        threads: two where none are given.
    """
    rows = list(met)
    return SampleWindow(
        session="",
        started_at=float(second),
        ended_at=second + 1.0,
        asked_hz=10.0,
        turns=10,
        states=dict(zip(STATES, states, strict=True)),
        verified=8,
        unsettled=2,
        lost=0,
        functions=tuple(_row(one, 0) for one in rows),
        lines=tuple(_row(one, one.line) for one in rows),
        threads=tuple((thread(1, "MainThread"), thread(2, "worker")) if threads is None else threads),
    )


def thread(native_id: int, name: str, running: int = 6, waiting: int = 4, call: str = "futex") -> WindowThread:
    """A thread that was met so often."""
    states = dict(zip(STATES, (running, 0, 0, 0, waiting), strict=True))
    place = WindowPlace("tax_percent", "/srv/shop/orders.py", 30, 33)
    return WindowThread(native_id, native_id + 7000, name, states, place, call)


def many(count: int) -> list[Met]:
    """So many functions, each with more samples than the one after it."""
    sizes = [(count - one, count - one, count - one) for one in range(count)]
    return [Met(f"function_{one}", size, size, f"/srv/m{one % 97}.py", one + 1) for one, size in enumerate(sizes)]


def _row(met: Met, line: int) -> WindowRow:
    place = WindowPlace(met.name, met.file, met.line, line)
    return WindowRow(place, ViewCounts(*met.own), ViewCounts(*met.total))
