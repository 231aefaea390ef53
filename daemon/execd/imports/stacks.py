"""A tree of stacks as it is put together out of a file that repeats them."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from execd.model.profile import MAX_NODES, ROOT, Column, Function, Header, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.collector import Collector


class StackTree:
    """Nodes, and the tables that they point into.

    Args:
        collector: whose columns the nodes have.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._functions: dict[Function, int] = {}
        self._locations: dict[tuple[int, int], int] = {}
        self._labels: dict[Label, int] = {}
        self._places: dict[tuple[int, int, int], int] = {}
        self._columns = [array("q") for _ in collector.columns]

    def location(self, function: Function, line: int) -> int:
        """Return the number of a line in a function."""
        place = (self._functions.setdefault(function, len(self._functions)), line)
        return self._locations.setdefault(place, len(self._locations))

    def add(self, path: Iterable[int], label: Label, figures: Sequence[int]) -> None:
        """Add figures to the innermost frame of a stack.

        Args:
            path: numbers of `location`, the outermost frame first; one at least.
            label: where it was seen.
            figures: one for each column.

        Raises:
            ValueError: there are more nodes than a profile has, or a sum is out of range.
        """
        where, node = self._labels.setdefault(label, len(self._labels)), ROOT
        for location in path:
            node = self._places.setdefault((node, location, where), len(self._places))
            if node == len(self._columns[0]):
                for column in self._columns:
                    column.append(0)
        if len(self._places) > MAX_NODES:
            raise ValueError(f"there are more than {MAX_NODES} nodes")
        for column, figure in zip(self._columns, figures, strict=True):
            try:
                column[node] += figure
            except OverflowError:
                raise ValueError("a sum is out of range") from None

    def profile(self, header: Header) -> Profile:
        """Return what was put together."""
        columns = zip(self._collector.columns, self._columns, strict=True)
        return Profile(
            header=header,
            functions=tuple(self._functions),
            locations=tuple(Location(*place) for place in self._locations),
            labels=tuple(self._labels),
            parents=array("i", [parent for parent, _, _ in self._places]),
            node_locations=array("i", [location for _, location, _ in self._places]),
            node_labels=array("i", [label for _, _, label in self._places]),
            columns=tuple(Column(name, unit, values) for (name, unit), values in columns),
        )
