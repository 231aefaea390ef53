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
    (3, 9): Prices(24.0, 23.0, 19.0, 40.0, timed=10.8, call=46.0),
    (3, 10): Prices(30.0, 28.0, 24.0, 54.0, slower=1.05, timed=10.6, call=52.0),
    (3, 11): Prices(68.0, 27.0, 36.0, 53.0, slower=1.76, timed=11.0, call=31.0),
    (3, 12): Prices(48.0, 25.0, 37.0, 36.0, 15.0, timed=11.3, call=29.0),
    (3, 13): Prices(42.0, 27.0, 38.0, 36.0, 15.0, timed=10.9, call=29.0),
    (3, 14): Prices(35.0, 21.0, 30.0, 28.0, 11.0, timed=11.2, call=28.0),
    (3, 15): Prices(34.0, 19.0, 29.0, 27.0, 9.7, timed=11.0, call=29.0),
}


def usual_prices(form: str, version: tuple[int, ...]) -> Prices | None:
    """Return what events cost in most programs, None where that is not known.

    Args:
        form: in which calls are recorded.
        version: of Python, which begins with major and minor.
    """
    return _USUAL.get((version[0], version[1])) if form == "native" and len(version) > 1 else None
