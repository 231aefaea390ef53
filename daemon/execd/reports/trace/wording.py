"""The wording of `python -m trace --trace`: for a stored trace, and for those who follow one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from execd.model.collector import TraceKind
from execd.reports.escape import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from execd.model.profile import Function, Location

# Places whose texts are kept: a loop runs in a few of them.
_KEPT = 2048
_TAB = 8


@dataclass(frozen=True, slots=True)
class Wording:
    """Puts events into words, a line of text each.

    Attributes:
        functions, locations: what the events point into; they may grow.
        source: returns a line of a file, "" where there is none.
        timing: lines are preceded by the seconds since the start.
    """

    functions: Sequence[Function]
    locations: Sequence[Location]
    source: Callable[[str, int], str]
    timing: bool = False
    _texts: dict[tuple[int, int], str] = field(default_factory=dict)

    def texts(self, rows: Iterable[tuple[int, int, int, int]]) -> Iterator[str]:
        """Yield the text of each event, without line ends.

        Args:
            rows: of each its time (ns), kind, location, and how many it stands for where it is a mark of lost ones.
        """
        for time_ns, kind, location, lost in rows:
            if kind == TraceKind.LOST:
                yield f" --- lost: {lost} events"
            elif self.timing and kind == TraceKind.LINE:
                yield f"{time_ns / 1e9:.2f} {self._text(kind, location)}"
            else:
                yield self._text(kind, location)

    def _text(self, kind: int, location: int) -> str:
        text = self._texts.get((kind, location))
        if text is None:
            if len(self._texts) >= _KEPT:
                self._texts.clear()
            place = self.locations[location]
            function = self.functions[place.function]
            text = call_text(function) if kind == TraceKind.CALL else self._line_text(function, place.line)
            self._texts[kind, location] = text
        return text

    def _line_text(self, function: Function, line: int) -> str:
        source = self.source(function.file, line).rstrip("\r\n").expandtabs(_TAB)
        place = visible(f"{function.file.rpartition('/')[2]}({line})")
        return f"{place}: {visible(source)}" if source else place


def call_text(function: Function) -> str:
    """Return what stands before the lines of a call."""
    return visible(f" --- modulename: {module_name(function.file)}, funcname: {function.name}")


def module_name(path: str) -> str:
    """Return the name of a file without folder and extension, as `trace` makes it: dots at its start stay."""
    name = path.rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem.strip(".") else name
