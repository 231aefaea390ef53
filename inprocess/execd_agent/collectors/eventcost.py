"""What one event of the calls collector costs, measured in the agent's thread while others are recorded.

The cost of a call is that of its two events, dispatch included, less what the call takes without them. The handlers
read the clock in their midst, so a part falls into the time of the function that is called, and the rest into that of
its caller. A machine is not equally fast all the time: it is measured again and again, in rows of calls, and the median
of what was found is what a recording tells.

In a row the caches hold the handlers' code, as they do not in a program that does something else as well, least of all
on a busy machine, and no thread of ours can tell how little. So at each beat some events of each thread are timed, the
part of them after the reading of the clock, and those of a row as well: by their ratio events cost more there.
"""

from __future__ import annotations

import sys

from execd_agent import compat
from execd_agent.collectors import cfunctions
from execd_agent.collectors.calltree import Node, ThreadTree
from execd_agent.collectors.fanout import DISABLE
from execd_agent.collectors.prices import Prices, kinds
from execd_agent.collectors.selection import OWN_CODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from execd_agent.collectors.calltree import CallTree

CALLS = range(20)
_ROWS = 5
# At the first beat, for there are recordings that have no second one; after some beats only now and then.
_FIRST_TIMES = 2
_OFTEN, _SELDOM = 10, 5
_KEPT = 100
_NOTHING = (0.0, 0.0, 0.0, 0.0)
# Of each thread, at each beat: 0.5 ms of its time.
TIMED = 1000


class EventCosts:
    """What events of one recording cost.

    Args:
        calls: the tree that is recorded into; its handlers hear the calling thread on 3.12 and newer.
        handlers: makes them, see subscription.py.
        builtins: whether C functions are recorded.

    Attributes:
        prices: what a call costs in all.
    """

    # Some 0.1 ms each: so long nobody waits for the interpreter's lock.
    price_calls = 50
    # Measured: benchmarks/bench_overhead.py.
    dearer = 1.1
    # What handlers that are timed take in a loop, where those of programs are too.
    _timed_ns: Any = None

    def __init__(self, calls: CallTree, handlers: Any, *, builtins: bool) -> None:
        self._calls = calls
        self._rows = [_python_row(), *([_c_row()] if builtins else [])]
        if builtins and compat.HAS_MONITORING:
            self._rows.append(_uncounted_row())
        self._profile: Any = None
        if not compat.HAS_MONITORING:
            from execd_agent.collectors.profilehooks import make_profile_function  # noqa: PLC0415 - theirs

            self._profile, redirect, _ = make_profile_function()
            redirect(handlers(2, DISABLE))
        self._beats = 0
        loops = self._kinds(builtins=builtins)
        self.prices = Prices(self.price_calls, loops, self.dearer)
        # What was found, the latest last: of each row what a call cost in the called function and in its caller, ns,
        # and what of that is timed.
        self._found: list[list[tuple[float, float, float, float]]] = []

    @property
    def is_due(self) -> bool:
        """Whether the next time is one at which is measured."""
        return self._beats < _OFTEN or (self._beats + 1) % _SELDOM == 0

    def measure(self) -> None:
        """Measure once more, in the agent's thread, each fifth time at last; does nothing where it is not possible."""
        is_due = self.is_due
        self._beats += 1
        for tree in self._calls.trees[:]:
            tree.timing = TIMED
        if not is_due:
            return
        for _ in range(1 if self._found else _FIRST_TIMES):
            try:
                costs = self._measured()
            except Exception:  # noqa: BLE001 - an audit hook of the target's; then nobody knows
                return
            if None in costs:
                return  # no events come here: the target has taken our hooks
            self._found.append(costs)
            del self._found[:-_KEPT]

    def figures(self) -> dict[str, int]:
        """Return what events cost, in ns; nothing where that is not known.

        python_inside_ns, python_outside_ns: of a call of a Python function, in its own time and in its caller's;
        c_inside_ns, c_outside_ns: of a C function; uncounted_ns: of an event of no counted call, in whose time it is.
        The first four with timed_ns: what of it is timed where an event is.
        """
        if not self._found:
            return {}
        middle = len(self._found) // 2
        medians = [[sorted(values)[middle] for values in zip(*row)] for row in zip(*self._found)]
        python, c_function, uncounted = (*medians, _NOTHING, _NOTHING)[:3]
        # Two events for each of its calls. The call of a Python function is told before its begin is.
        hidden = uncounted[1] / 2
        return {
            "python_inside_ns": round(python[0]),
            "python_outside_ns": max(round(python[1] - hidden), 0),
            "c_inside_ns": round(c_function[0]),
            "c_outside_ns": round(c_function[1]),
            "uncounted_ns": round(hidden),
            "python_inside_timed_ns": round(python[2]),
            "python_outside_timed_ns": round(python[3]),
            "c_inside_timed_ns": round(c_function[2]),
            "c_outside_timed_ns": round(c_function[3]),
        }

    def _measured(self) -> list[Any]:
        if self._profile is not None and sys.getprofile() is not None:
            raise ValueError("this thread has a profile function")
        self.prices.measure_plain(self._plain_ns)
        if self._profile is None:
            self.prices.measure(self._recorded_whole, self._timed_ns)
            return [self._cost(*row) for row in self._rows]
        plain = [self._plain_ns(row[0]) for row in self._rows]
        self._hear(on=True)
        try:
            self.prices.measure(self._recorded_whole, self._timed_ns)
            return [self._cost(*row, plain_ns=known) for row, known in zip(self._rows, plain)]
        finally:
            self._hear(on=False)

    def _hear(self, *, on: bool) -> None:
        """Have the calling thread told of its events, or no more (3.9 to 3.11)."""
        sys.setprofile(self._profile if on else None)

    def _cost(self, plain_row: Any, row: Any, key: object, plain_ns: int = 0) -> Any:
        """Return what a call in a row costs more than without events: in what is called, and in the row itself.

        And how much of either is timed where an event is.
        """
        plain_ns = plain_ns or self._plain_ns(plain_row)
        found = sorted(
            [one for one in [self._aloud(self._recorded, row, key) for _ in range(_ROWS)] if one is not None], key=sum
        )
        if not found:
            return None
        # The longest row may have been interrupted.
        inside, outside = found[max(len(found) - 2, 0)]
        timed: list[float] = []
        self._aloud(self._recorded, row, key, timed)
        return (inside / len(CALLS), max(outside - plain_ns, 0) / len(CALLS), *timed)

    def _plain_ns(self, row: Any, turns: range = CALLS) -> int:
        """Return what a row takes without events: those of this thread are switched off after they came once."""
        taken_ns: int = self._aloud(self._row_ns, row, turns)
        return taken_ns

    def _row_ns(self, row: Any, turns: range) -> int:
        clock, found = self._calls.clock, []
        for _ in range(_ROWS):
            began = clock()
            row(turns)
            found.append(int(clock() - began))
        return sorted(found)[_ROWS // 2]

    def _aloud(self, function: Any, *arguments: Any) -> Any:
        """Call a function of ours with this thread's events told, which are not else: see unheard.py.

        Raises:
            ValueError: another tool would hear them, and list what is called.
        """
        if not compat.HAS_MONITORING:
            return function(*arguments)
        from execd_agent.collectors.monitoringhooks import others_hear  # noqa: PLC0415 - for 3.12 and newer

        if others_hear() or sys.getprofile() or sys.gettrace():
            raise ValueError("another tool hears this thread")
        return sys.call_tracing(function, arguments)

    def _kinds(self, *, builtins: bool) -> tuple[str, ...]:
        return kinds(builtins=builtins)

    def _recorded_whole(self, row: Any, key: object, turns: range) -> float | None:
        """Record a row as `_recorded` does: all of its time; of one with the key () no calls are looked for."""
        found = self._aloud(self._recorded, row, key, None, turns)
        return None if found is None else sum(found)

    def _recorded(
        self, row: Any, key: object, timed: list[float] | None = None, turns: range = CALLS
    ) -> tuple[float, float] | None:
        """Record a row of calls: the time of what it called, and its own; None where not all was told.

        Where `timed` is given, handlers are timed, and the means in both are added to it, 0 where none was.
        """
        local = self._calls.local
        thread = ThreadTree(0, "", self._calls.clock())
        # Who calls the row is where it is: a stack that does not fit would be looked for.
        thread.root.key = id(sys._getframe().f_code)
        thread.timing = TIMED if timed is not None else 0
        own = thread.root.children[id(row.__code__)] = Node(thread.root, id(row.__code__), row.__code__)
        # Made before, so that nothing is made while it is measured.
        below = Node(own, key, row.__code__ if key is None else "")
        if key is not None:
            own.children[key] = below
        # Nothing may be called between these but the row.
        local.tree = thread
        try:
            row(turns)
        finally:
            local.tree = None
            # Parents and children hold each other.
            thread.root.children.clear()
            own.children.clear()
        if timed is not None:
            timed += [node.timed_ns / (node.timed or 1) for node in (below, own)]
        is_whole = own.calls == 1 and (key == () or (below.calls or own.uncounted // 2) == len(turns))
        return (below.self_ns, own.self_ns) if is_whole else None


# Before 3.11 an event costs more in a frame with more variables; these have as many as most.
def _nothing(_first: object, _second: object, _third: object) -> None:
    pass


_NOTHING_GIVEN = (None, None, None)


def _python_row() -> tuple[Any, Any, object]:
    """Return a row of calls of a Python function, once more to be recorded, and its key in a tree."""

    def row(calls: range, function: Any) -> None:
        for _ in calls:
            function()

    recorded = _copy(_nothing, *_NOTHING_GIVEN)
    return _copy(row, _copy(_nothing, *_NOTHING_GIVEN)), _copy(row, recorded), id(recorded.__code__)


def _c_row() -> tuple[Any, Any, object]:
    def row(calls: range, function: Any) -> None:
        nothing = ()
        for _ in calls:
            function(nothing)

    return _copy(row, len), _copy(row, len), cfunctions.key_of(len)


def _uncounted_row() -> tuple[Any, Any, object]:
    def row(calls: range, function: Any) -> None:
        for _ in calls:
            function()

    return _copy(row, int), _copy(row, int), None


def _copy(function: Any, *defaults: object) -> Any:
    """Return a function with a code object of its own, for events are switched off in one, and with these defaults."""
    make: Any = cfunctions.FUNCTION
    return make(function.__code__.replace(co_filename=OWN_CODE), {}, None, defaults)
