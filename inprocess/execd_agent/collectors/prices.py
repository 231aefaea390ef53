"""What recording a call costs the program in all, the interpreter's dispatch included.

The costs of eventcost.py say what of a call is in whose recorded time. These say how much longer a program runs: loops
of calls with events and without, in the agent's thread, of each the median of those that were found at full speed.
"""

from __future__ import annotations

from execd_agent import compat
from execd_agent.collectors import cfunctions
from execd_agent.collectors.calltree import RESUMED
from execd_agent.collectors.selection import OWN_CODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TIMES = 5
# What was found while the processor was slower, as it is for some ms where its neighbour is busy, says nothing of a
# program that runs all the time; that it is as slow for that is told by what is timed in it.
_SAME_SPEED = 1.15
_KEPT = 20
# Some 5 ms.
_MOST_NODES = 20_000
# Calls in one round of a loop, where there are several.
_AT_ONCE = {"two": 2, "method": 2}
# What the figure of a loop is the price of.
_MEANT = {"tree": "python", "two": "c", "type": "uncounted"}
# What `_tree` of this number calls, itself among it.
_TREE_DEPTH, _TREE_CALLS = 10, 177


class Prices:
    """The prices of one recording.

    Args:
        calls: how many a loop makes.
        kinds: of loops that there are to measure, that of calls of Python functions first.
        dearer: how many times as much it costs in a program, but for its other caches and branches where some of its
            handlers are timed.
    """

    def __init__(self, calls: int, kinds: tuple[str, ...], dearer: float) -> None:
        self._dearer = dearer
        # Events are switched off in one of two.
        self._loops = [(_loop(kind), _loop(kind)) for kind in kinds]
        self._calls = range(calls)
        self._plain: dict[str, float] = {}
        self._found: list[dict[str, float]] = []

    def measure_plain(self, plain_ns: Any) -> None:
        """Measure what the loops take without events.

        Args:
            plain_ns: runs a loop so often, and returns what it took, in a thread in which events are off, or may be
                switched off.
        """
        for (kind, loop, _), _ in self._loops:
            took = [plain_ns(loop, self._calls) for _ in range(_TIMES)]
            self._plain[kind] = sorted(took)[_TIMES // 2] / self._count(kind)

    def measure(self, recorded_ns: Any, timed_ns: Any = None) -> None:
        """Measure what they take with events, which must be on.

        Args:
            recorded_ns: records a loop and what it calls, of which the key in a tree is told; returns what it took,
                None where not all was told.
            timed_ns: returns what handlers that are timed take in a loop; None where nobody times those of programs.
        """
        recorded = {}
        for _, (kind, loop, key) in self._loops:
            took = [recorded_ns(loop, key, self._calls) for _ in range(_TIMES)]
            if None not in took:
                recorded[kind] = sorted(took)[_TIMES // 2] / self._count(kind)
        prices = self._priced(recorded)
        if timed_ns is not None:
            _, (_, loop, _) = self._loops[0]
            prices["timed"] = timed_ns(loop, self._calls)
        self._found.append(prices)
        del self._found[:-_KEPT]

    def figures(self) -> dict[str, float]:
        """Return what each costs the program, ns; nothing before it is known.

        python: a call of a Python function, with all of its events; resumed: one of a generator; c: a call of a C
        function; method: of a method of a type written in C; uncounted: an event of no counted call. And slower: how
        many times as long other instructions take; timed: what a handler took that was timed meanwhile, ns; call: what
        a call of a Python function takes by itself, ns.
        """
        least = min([one["call"] for one in self._found], default=0.0)
        found = [one for one in self._found if one["call"] <= least * _SAME_SPEED]
        kinds_found = dict.fromkeys(kind for one in found for kind in one)
        return {kind: _median([one[kind] for one in found if kind in one]) for kind in kinds_found}

    def _priced(self, recorded: dict[str, float]) -> dict[str, float]:
        """Return the prices by one measurement."""
        slower = max(recorded.pop("bytecode", 0.0) / self._plain.get("bytecode", 1.0), 1.0)
        prices = {
            _MEANT.get(kind, kind): max(ns - self._plain[kind] * slower, 0.0) * self._dearer
            for kind, ns in recorded.items()
        }
        if "uncounted" in prices:
            # It is one of two.
            prices["uncounted"] /= 2
        return {**prices, "slower": slower, "call": next(iter(self._plain.values()))}

    def _count(self, kind: str) -> int:
        return _TREE_CALLS if kind == "tree" else len(self._calls) * _AT_ONCE.get(kind, 1)


# The smaller one of two: what comes between makes a loop longer.
def _median(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def kinds(*, builtins: bool) -> tuple[str, ...]:
    """Return the kinds that a recording can measure, which has C functions or has none."""
    of_c = ("c", "type") if compat.HAS_MONITORING else ("c",)
    return ("python", "resumed", *(of_c if builtins else ()), *(("bytecode",) if compat.SLOWS_BYTECODE else ()))


def _loop(kind: str) -> tuple[str, Any, object]:
    """Return a loop of its own of calls of a kind, with the key in a tree of what it calls.

    That is None of what is not counted, and () where it is not looked for.
    """
    if kind in ("python", "resumed"):
        function = _copy(_nothing if kind == "python" else _resumed)
        return kind, _copy(_calling if kind == "python" else _resuming, function), id(function.__code__)
    loops: dict[str, tuple[Any, object]] = {
        "c": (_copy(_calling, len), cfunctions.key_of(len)),
        "type": (_copy(_calling, bool), None),
        "two": (_copy(_calling_two, len, callable), ()),
        "method": (_copy(_calling_methods), ()),
        "tree": (_copy(_calling_tree, _copy(_tree), _TREE_DEPTH), ()),
        "bytecode": (_copy(_computing), ()),
    }
    return (kind, *loops[kind])


def _nothing(_given: object) -> None:
    pass


def _calling(calls: range, function: Any) -> None:
    given = ()
    for _ in calls:
        function(given)


def _calling_tree(_calls: range, function: Any, depth: int) -> None:
    function(depth, function)


# Calls that a processor cannot foresee, as those of programs.
def _tree(depth: int, function: Any) -> int:
    found: int = depth if depth < 2 else function(depth - 1, function) + function(depth - 2, function)  # noqa: PLR2004
    return found


# Who calls one thing after the other is the rule.
def _calling_two(calls: range, function: Any, other: Any) -> None:
    given = ()
    for _ in calls:
        function(given)
        other(given)


def _calling_methods(calls: range) -> None:
    given = ""
    for _ in calls:
        given.strip()
        given.lower()


# It is resumed once more than it yields.
def _resuming(calls: range, function: Any) -> None:
    for _ in function(calls[1:]):
        pass


def _resumed(calls: range) -> Any:
    for _ in calls:
        yield


# A bit of what most programs do.
def _computing(calls: range) -> None:
    table, known, found = (2, 3, 5, 7, 11, 13, 17), {}, 1
    for number in calls:
        place = number % 7
        found = (found * table[place] + number) % 4093
        known[place] = found
        if known[place] > number:
            found = (found - 1) % 1009


def _copy(function: Any, *defaults: object) -> Any:
    """Return a function with a code object of its own, for events are switched off in one, and with these defaults."""
    make: Any = cfunctions.FUNCTION
    return make(function.__code__.replace(co_filename=OWN_CODE), {}, None, defaults)


def counted(roots: list[Any], lost_calls: int) -> dict[str, int] | None:
    """Return how many calls there are in trees, by the kinds of prices; None where to count them would take long.

    Args:
        roots: of the trees.
        lost_calls: that the memory limit left out: they are told all the same, as calls of Python functions.
    """
    counts, left, pending = dict.fromkeys(("python", "resumed", "c", "uncounted"), 0), _MOST_NODES, roots
    while pending:
        node = pending.pop()
        pending.extend(list(node.children.values()))
        left -= 1
        if not left:
            return None
        flags = getattr(node.what, "co_flags", -1)
        counts["c" if flags < 0 else "resumed" if flags & RESUMED else "python"] += node.calls
        counts["uncounted"] += node.uncounted
    counts["python"] += lost_calls
    return counts
