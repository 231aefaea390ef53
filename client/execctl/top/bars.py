"""What the threads of a process are at, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execctl.top.cells import Span, Style
from execctl.top.model import HOLDING, RUNNING

if TYPE_CHECKING:
    from execctl.top.cells import Charset
    from execctl.top.model import Sum

# Of a bar with what stands before and after it; two stand side by side.
_LABEL, _FIGURE, _GAP = 9, 7, 2
_NARROWEST: Final = 60
_WAITING: Final = frozenset({"waiting", "waiting_with_gil"})
_FOR_GIL: Final = frozenset({"waiting_for_gil"})


def bar_lines(recent: Sum, columns: int, charset: Charset) -> list[list[Span]]:
    """Return the lines of the bars; a narrow terminal gets the figures alone.

    Args:
        recent: the latest windows.
        columns: of the terminal.
        charset: what it can show.
    """
    met = sum(recent.states.values())
    shares = [(label, recent.count(states) / met if met else 0.0) for label, states in _OF_THREADS]
    held = recent.count(HOLDING) / recent.turns if recent.turns else 0.0
    running, waiting, for_gil = shares
    if columns < _NARROWEST:
        short = (("run", running[1]), ("wait", waiting[1]), ("GIL", held), ("for it", for_gil[1]))
        return [[Span(" ".join(f"{label} {share:.0%}" for label, share in short))]]
    pairs = ((running, waiting), (("GIL held", held), for_gil))
    return [[*_bar(*one, columns, charset), Span(" " * _GAP), *_bar(*other, columns, charset)] for one, other in pairs]


def _bar(label: str, share: float, columns: int, charset: Charset) -> list[Span]:
    width = (columns - _GAP) // 2 - _LABEL - _FIGURE
    return [Span(label.ljust(_LABEL)), Span(charset.bar(share, width), Style.BAR), Span(f"{share * 100:6.1f}%")]


_OF_THREADS: Final = (("running", RUNNING), ("waiting", _WAITING), ("GIL wait", _FOR_GIL))
