"""How places and clocks are called in reports of samples; other tools name fewer things than CPython does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.model.profile import BUILTIN_FILE
from execd.model.samples import By
from execd.model.views import View
from execd.reports.escape import visible
from execd.reports.function_names import BUILT_IN, FunctionNames, c_name
from execd.reports.layout import DIM
from execd.reports.names import standard_name
from execd.reports.tables import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile

# Of each column that is a time: of what clock.
CLOCKS: Final[Mapping[str, str]] = {"wall_ns": "wall", "cpu_ns": "CPU"}
# What the samples of a view have in common.
VIEWS: Final[Mapping[View, str]] = {
    View.WALL: "all threads, those that wait too",
    View.CPU: "threads on a processor, or ready for one",
    View.GIL: "threads that hold the interpreter's lock",
}
# What stands for several frames, or for none that is known: "(unsettled)".
_STANDS_FOR: Final = "("


def sample_name(place: FunctionKey) -> str:
    """Return what a place is called: as much of `file:line(name)` as is known."""
    file, line, name = place
    if not file:
        return name
    if line or file == BUILTIN_FILE:
        return standard_name(place)
    return f"{file}({name})" if name else file


class PlaceNames:
    """The names of the places of profiles, safe to show.

    Attributes:
        by: what the places are.

    Args:
        profiles: whose.
        by: what the places are.
    """

    def __init__(self, profiles: Iterable[Profile], by: By) -> None:
        self.by, shown = by, list(profiles)
        self._qualified = FunctionNames(shown, strip_dirs=False)
        # A line lies in one function; two of one name there are as good as one.
        self._begin = (
            {
                (function.file, location.line, function.name): function.first_line
                for profile in shown
                for location in profile.locations
                for function in (profile.functions[location.function],)
            }
            if by is By.LINE
            else {}
        )

    def columns(self) -> list[Column]:
        """Return the columns that say what a place is."""
        if self.by is By.FILE:
            return [Column("file", Kind.PLACE)]
        return [Column("function", Kind.NAME), Column("where", Kind.PLACE, DIM)]

    def cells(self, place: FunctionKey) -> list[str]:
        """Return what stands in these columns."""
        cells = [self.name(place), self.place(place)]
        return [cells[0] or cells[1]] if self.by is By.FILE else cells

    def name(self, place: FunctionKey) -> str:
        """Return the function: "Server.handle", "time.sleep"; "" of a file."""
        file, line, name = place
        function = visible(file), self._begin.get(place, line), visible(name)
        return c_name(self._qualified.name(function))

    def place(self, place: FunctionKey) -> str:
        """Return where it is: a path, with a line where that is known; of what is no code of Python's what it is."""
        file, line, name = place
        if file == BUILTIN_FILE:
            return "" if name.startswith(_STANDS_FOR) else BUILT_IN
        return visible(f"{file}:{line}" if line else file)
