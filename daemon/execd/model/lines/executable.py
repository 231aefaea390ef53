"""What a compiler has said of a source text: the lines that can run, the functions, and whether a profile fits."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_MODULE = "<module>"


@dataclass(frozen=True, slots=True)
class ExecutableLines:
    """The lines of a text that can run.

    Attributes:
        lines: those that line tables name, ascending (array typecode "i").
        strings: those of docstrings, which do not count (array typecode "i").
        functions: name and first line of every code object but the module's.
        problem: why there are none, or "".
    """

    lines: array[int]
    strings: array[int]
    functions: frozenset[tuple[str, int]]
    problem: str = ""

    @property
    def weight(self) -> int:
        """How much memory it takes, in words."""
        return len(self.lines) + len(self.strings) + 16 * len(self.functions)

    def counted(self) -> tuple[int, ...]:
        """Return the lines that count, as `trace` has them."""
        return tuple(sorted({*self.lines} - {*self.strings}))

    def mismatch(self, functions: Iterable[tuple[str, int]], hits: Mapping[int, int] | Collection[int]) -> str:
        """Return how code that ran differs from the text, "" where it does not.

        Args:
            functions: name and first line of functions of this file that ran.
            hits: lines of this file that ran.
        """
        for name, line in sorted(functions):
            if name != _MODULE and (name, line) not in self.functions:
                return f"is not the text of the code that runs: it has no {name} in line {line}"
        strange = set(hits).difference(self.lines)
        if strange:
            return f"is not the text of the code that runs: nothing in it can run in line {min(strange)}"
        return ""


def executable_lines(
    lines: Iterable[int], strings: Iterable[int], functions: Iterable[tuple[str, int]]
) -> ExecutableLines:
    """Return what was found, of all pieces of a text."""
    return ExecutableLines(
        array("i", sorted(set(lines))),
        array("i", sorted(set(strings))),
        frozenset(one for one in functions if one[0] != _MODULE),
    )


def nothing_known(problem: str) -> ExecutableLines:
    """Return what stands for a text of which no lines are known."""
    return ExecutableLines(array("i"), array("i"), frozenset(), problem)
