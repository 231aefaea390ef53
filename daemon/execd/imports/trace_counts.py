"""The counts file of `trace` (its option --file)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.imports.allowance import freely
from execd.imports.pickle_reader import MAX_TEXT, PLAIN, Grammar, Pairs, read_pickle
from execd.model.collector import collector_of
from execd.model.profile import ROOT, Column, Function, Header, Label, Location, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A million lines of long paths, which a pickle holds once each.
MAX_ENTRIES = 1_000_000
# What a file has beside its entries.
_SPARE = 1000
_MAX_LINE = 1 << 31
_MAX_COUNT = 1 << 62
_WITHOUT_SOURCES = "the file tells of no lines but those that ran: shares are not of all lines that could run"
# Two functions and the call of the one by the other.
_TUPLES_AN_ENTRY = 3
_GRAMMAR = Grammar(
    what="counts file of trace",
    remedy="write one: python -m trace --count --file FILE",
    # It is of protocol 1.
    opcodes=PLAIN | {"UNICODE", "INT", "LONG", "NEWTRUE", "NEWFALSE", "DICT"},
    most_values=_TUPLES_AN_ENTRY * (MAX_ENTRIES + _SPARE),
)

# File, module, function.
Named = tuple[str, str, str]
# File and function, line, parent, figure.
_Row = tuple[tuple[str, str], int, int, int]


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """What a counts file holds.

    Attributes:
        counts: how often a line of a file ran.
        functions: those that were called.
        callers: who called whom.
    """

    counts: Mapping[tuple[str, int], int]
    functions: frozenset[Named]
    callers: frozenset[tuple[Named, Named]]


def read(data: bytes, spend: Callable[[int], None] = freely) -> TraceCounts:
    """Return what a counts file holds.

    Args:
        data: the file.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: it is no such file, or is over the limits.
    """
    match read_pickle(data, _GRAMMAR, spend):
        case (Pairs() as counts, Pairs() as functions, Pairs() as callers):
            if sum(len(one.items) for one in (counts, functions, callers)) > MAX_ENTRIES:
                raise _GRAMMAR.refusal(f"there are over {MAX_ENTRIES} entries")
            return TraceCounts(
                {_place(key): _GRAMMAR.number(value, _MAX_COUNT) for key, value in counts.items},
                frozenset(_named(key) for key, _ in functions.items),
                frozenset(_pair(key) for key, _ in callers.items),
            )
    raise _GRAMMAR.refusal("it is not three dictionaries")


def _place(key: object) -> tuple[str, int]:
    match key:
        case (str(path), int(line)) if len(path) <= MAX_TEXT:
            return path, _GRAMMAR.number(line, _MAX_LINE)
    raise _GRAMMAR.refusal("a place is not a file and a line")


def _named(value: object) -> Named:
    match value:
        case (str(file), str(module), str(name)) if all(len(part) <= MAX_TEXT for part in (file, module, name)):
            return file, module, name
    raise _GRAMMAR.refusal("a function is not a file, a module and a name")


def _pair(value: object) -> tuple[Named, Named]:
    match value:
        case (caller, callee):
            return _named(caller), _named(callee)
    raise _GRAMMAR.refusal("a call is not of a caller and a callee")


def profiles(counts: TraceCounts, header: Header) -> list[Profile]:
    """Return what a counts file holds as profiles of lines, functions and callers: those of which there is something.

    Args:
        counts: as read.
        header: where they come from; its collector is replaced.
    """
    lines = [((path, "<module>"), line, ROOT, count) for (path, line), count in sorted(counts.counts.items())]
    called = [((file, name), 0, ROOT, 1) for file, _, name in sorted(counts.functions)]
    made = {"lines": (lines, (_WITHOUT_SOURCES,)), "functions": (called, ()), "callers": (_callers(counts), ())}
    return [
        _profile(replace(header, collector=name, caveats=(*header.caveats, *caveats)), rows)
        for name, (rows, caveats) in made.items()
        if rows
    ]


def _callers(counts: TraceCounts) -> list[_Row]:
    rows: list[_Row] = []
    for (file, _, name), (callee_file, _, callee_name) in sorted(counts.callers):
        rows.append(((file, name), 0, ROOT, 0))
        rows.append(((callee_file, callee_name), 0, len(rows) - 1, 1))
    return rows


def _profile(header: Header, rows: list[_Row]) -> Profile:
    functions = {key: index for index, key in enumerate(dict.fromkeys(row[0] for row in rows))}
    locations = {key: index for index, key in enumerate(dict.fromkeys((functions[row[0]], row[1]) for row in rows))}
    ((column, unit),) = collector_of(header.collector).columns
    return Profile(
        header=header,
        functions=tuple(Function(name.rpartition(".")[2], name, file, 0) for file, name in functions),
        locations=tuple(Location(*place) for place in locations),
        labels=(Label(0, "", header.pid),),
        parents=array("i", [parent for _, _, parent, _ in rows]),
        node_locations=array("i", [locations[functions[key], line] for key, line, _, _ in rows]),
        node_labels=array("i", bytes(4 * len(rows))),
        columns=(Column(column, unit, array("q", [count for *_, count in rows])),),
    )
