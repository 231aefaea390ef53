"""What events cost by the version of Python, where that cannot be measured in the process.

There the agent's thread must not be told of its own calls: another tool of the program hears all threads, cProfile or
coverage on 3.12 and newer, or the program has audit hooks. The figures are medians of a core that was measured on one
machine by execd_agent/collectors/prices.py. How dear events are in the program is told by its own that are timed, as
elsewhere: so a machine that is slower costs more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.model.overhead import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

# Measured: benchmarks/RESULTS.md, Overhead.
_USUAL: Final[Mapping[tuple[int, int], Prices]] = {
    (3, 9): Prices(24.0, 22.0, 20.0, 37.0, timed=12.0, call=57.0),
    (3, 10): Prices(30.0, 28.0, 24.0, 40.0, slower=1.12, timed=11.8, call=54.0),
    (3, 11): Prices(62.0, 24.0, 32.0, 47.0, slower=1.79, timed=12.2, call=33.0),
    (3, 12): Prices(45.0, 25.0, 37.0, 35.0, 14.0, timed=11.8, call=31.0),
    (3, 13): Prices(45.0, 29.0, 35.0, 35.0, 14.0, timed=11.3, call=37.0),
    (3, 14): Prices(35.0, 22.0, 31.0, 30.0, 11.0, timed=11.5, call=29.0),
    (3, 15): Prices(41.0, 23.0, 32.0, 31.0, 11.0, timed=12.0, call=30.0),
}


def usual_prices(form: str, version: tuple[int, ...]) -> Prices | None:
    """Return what events cost in most programs, None where that is not known.

    Args:
        form: in which calls are recorded.
        version: of Python, which begins with major and minor.
    """
    return _USUAL.get((version[0], version[1])) if form == "native" and len(version) > 1 else None
