"""Which functions a report shows, and in which order: the sort keys and restrictions of pstats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from execd.errors import UsageError
from execd.reports.names import standard_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd.model.fold import FunctionKey
    from execd.reports.options import ReportOptions


_Row = TypeVar("_Row")


class Sortable(Protocol):
    """What a function can be sorted by, beside its name."""

    @property
    def calls(self) -> float:
        """Calls."""

    @property
    def primitive_calls(self) -> float:
        """Calls that were not recursive."""

    @property
    def self_ns(self) -> float:
        """Time in the function itself, ns."""

    @property
    def total_ns(self) -> float:
        """Time in it and all that it called, ns."""


# Each sort key with the fields that it compares, and how pstats prints it. Figures sort in descending order.
SORT_KEYS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "calls": (("calls",), "call count"),
    "cumtime": (("total_ns",), "cumulative time"),
    "cumulative": (("total_ns",), "cumulative time"),
    "file": (("file",), "file name"),
    "filename": (("file",), "file name"),
    "line": (("line",), "line number"),
    "module": (("file",), "file name"),
    "name": (("name",), "function name"),
    "ncalls": (("calls",), "call count"),
    "nfl": (("name", "file", "line"), "name/file/line"),
    "pcalls": (("primitive_calls",), "primitive call count"),
    "stdname": (("stdname",), "standard name"),
    "time": (("self_ns",), "internal time"),
    "tottime": (("self_ns",), "internal time"),
}
NUMERIC_KEYS: Mapping[str, str] = {"-1": "stdname", "0": "calls", "1": "time", "2": "cumulative"}
# Prefixes of more than one key that are clear all the same: pstats takes both.
_CLEAR_PREFIXES: Mapping[str, str] = {
    "cu": "cumulative",
    "fil": "filename",
    "fi": "filename",
    "f": "filename",
}
# Of a table that nobody limited.
ROWS_SHOWN: Final = 40
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FRACTION = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """The functions to show.

    Attributes:
        functions: in order.
        ordered_by: how they are sorted, in pstats' words; "" for the order in which they came.
        reductions: what each restriction that took something away did, in pstats' words.
    """

    functions: tuple[FunctionKey, ...]
    ordered_by: str
    reductions: tuple[str, ...]

    def notes(self) -> list[str]:
        """Return the lines that say how the functions are ordered, and which of them were left out."""
        words = self.ordered_by.replace("internal time", "self time").replace("cumulative time", "total time")
        return [*([f"Ordered by: {words}"] if words else []), *self.reductions]


def select(
    figures: Mapping[FunctionKey, Sortable],
    options: ReportOptions,
    default_sort: Sequence[str] = ("cumulative",),
) -> Selection:
    """Return the functions that the options ask for.

    Args:
        figures: what there is, by function.
        options: its sort, reverse and limits are used.
        default_sort: the keys where the options name none; empty: the order of `figures`.

    Raises:
        UsageError: a sort key is unknown, or a limit is out of range or no regular expression.
    """
    keys = resolve(options.sort or default_sort)
    functions = _sorted(figures, keys)
    if options.reverse:
        functions.reverse()
    reductions = []
    for limit in options.limits:
        functions, reduction = _limited(functions, limit)
        reductions += reduction
    return Selection(tuple(functions), ", ".join(SORT_KEYS[key][1] for key in keys), tuple(reductions))


def leading(options: ReportOptions, usual: Sequence[str]) -> str:
    """Return the figure that an order is by: "self_ns", "total_ns" or "calls"; the first where it is by a name.

    Raises:
        UsageError: a sort key is unknown.
    """
    field = SORT_KEYS[resolve(options.sort or usual)[0]][0][0]
    return {"total_ns": field, "calls": field, "primitive_calls": "calls"}.get(field, "self_ns")


def top(rows: Sequence[_Row], options: ReportOptions, most: int) -> tuple[Sequence[_Row], list[str]]:
    """Return as many rows as are shown where no limit is asked for, and the line that tells of the others."""
    if options.limits or len(rows) <= most:
        return rows, []
    return rows[:most], [f"{len(rows) - most:,} more: --limit 1.0 shows all"]


def limited(rows: Sequence[_Row], name: Callable[[_Row], str], limits: Sequence[str]) -> list[_Row]:
    """Return the rows that pstats' restrictions leave, in order.

    Args:
        rows: of any table.
        name: what a regular expression is searched in.
        limits: integers, fractions, regular expressions.

    Raises:
        UsageError: one is out of range or no regular expression.
    """
    kept = list(rows)
    for limit in limits:
        kept = _kept(kept, name, limit)
    return kept


def restriction(limit: str) -> int | float | str:
    """Return a restriction as pstats takes it: an integer, a fraction, or a regular expression.

    Raises:
        UsageError: it has more digits than any number.
    """
    try:
        return int(limit) if _INTEGER.fullmatch(limit) else float(limit) if _FRACTION.fullmatch(limit) else limit
    except ValueError as error:
        raise UsageError(f"a limit of {len(limit)} digits: {error}", remedy="give how many functions to show") from None


def resolve(sort: Sequence[str]) -> list[str]:
    """Return the full names of sort keys; a numeric one in front is the only one that counts, as in pstats.

    Raises:
        UsageError: one is unknown or ambiguous.
    """
    if sort and sort[0] in NUMERIC_KEYS:
        return [NUMERIC_KEYS[sort[0]]]
    return [_resolved(key) for key in sort]


def _resolved(key: str) -> str:
    if key in SORT_KEYS:
        return key
    candidates = [name for name in SORT_KEYS if key and name.startswith(key)]
    if key in _CLEAR_PREFIXES:
        return _CLEAR_PREFIXES[key]
    if len(candidates) == 1:
        return candidates[0]
    problem = f"may mean {' or '.join(candidates)}" if candidates else "is unknown"
    raise UsageError(
        f"the sort key {key!r} {problem}",
        remedy=f"choose from: {', '.join([*SORT_KEYS, *NUMERIC_KEYS])}",
        sort=ascii(key),
    )


def _sorted(figures: Mapping[FunctionKey, Sortable], keys: Sequence[str]) -> list[FunctionKey]:
    fields = [field for key in keys for field in SORT_KEYS[key][0]]

    def rank(function: FunctionKey) -> tuple[str | float, ...]:
        return tuple(_rank(field, function, figures[function]) for field in fields)

    return sorted(figures, key=rank) if fields else list(figures)


def _rank(field: str, function: FunctionKey, figures: Sortable) -> str | float:
    match field:
        case "file":
            return function[0]
        case "line":
            return function[1]
        case "name":
            return function[2]
        case "stdname":
            return standard_name(function)
    return -float(getattr(figures, field))


def _limited(functions: list[FunctionKey], limit: str) -> tuple[list[FunctionKey], list[str]]:
    kept = _kept(functions, standard_name, limit)
    if len(kept) == len(functions):
        return kept, []
    shown = limit if _INTEGER.fullmatch(limit) else repr(float(limit) if _FRACTION.fullmatch(limit) else limit)
    return kept, [f"List reduced from {len(functions)} to {len(kept)} due to restriction <{shown}>"]


def _kept(rows: list[_Row], name: Callable[[_Row], str], limit: str) -> list[_Row]:
    if _INTEGER.fullmatch(limit):
        return rows[: _count(limit)]
    if _FRACTION.fullmatch(limit):
        return rows[: int(len(rows) * _fraction(limit) + 0.5)]
    pattern = _pattern(limit)
    return [one for one in rows if pattern.search(name(one))]


def _count(limit: str) -> int:
    # More digits than any count of functions has are more than int() takes.
    count = int(limit[:20])
    if count < 0:
        raise UsageError(f"the limit {limit} is negative", remedy="give how many functions to show", limit=limit)
    return count


def _fraction(limit: str) -> float:
    fraction = float(limit)
    if not 0.0 <= fraction <= 1.0:
        raise UsageError(
            f"the limit {limit} is no fraction from 0.0 to 1.0",
            remedy="give a fraction, or a whole number for a count of functions",
            limit=limit,
        )
    return fraction


def _pattern(limit: str) -> re.Pattern[str]:
    try:
        return re.compile(limit)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"the limit {limit!r} is no regular expression: {error}",
            remedy="give an integer, a fraction from 0.0 to 1.0, or a regular expression",
            limit=ascii(limit),
        ) from None
