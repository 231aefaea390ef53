"""Windows of samples: what a recording met since a follower looked last, by function, by line and by thread.

The work for a window is that of the stacks that were met in it, however many the recording has: what a node of a
sampler's tree stands for is found out once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from execd.attach import syscalls
from execd.model.window import Counts, Rows, ThreadWindow, Window
from execd.sampling.profile import NO_FRAME, function_and_line
from execd.sampling.samples import STATES, SYSTEM_CALL, THREAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from execd.model.profile import Function
    from execd.sampling.samples import Samples
    from execd.sampling.thread_names import ThreadName

# A count for each view lies in one int, side by side: one addition adds all three.
_BITS: Final = 40
_MASK: Final = (1 << _BITS) - 1
_WALL, _CPU, _GIL = 1, 1 << _BITS, 1 << 2 * _BITS
# By the index of the state: what one sample counts for.
_COUNTED: Final = (_WALL + _CPU + _GIL, _WALL + _CPU, _WALL + _GIL, _WALL, _WALL)
_LOST: Final = ("unread", "torn", "no_code", "no_room")
# Of a thread, which is above all frames.
_NO_FUNCTION: Final = -1


@dataclass(slots=True)
class Met:
    """What a recording met in a span of time, as its samplers counted it.

    Attributes:
        parts: of each sampler its tables, and its counts by node and state.
        figures: of the recording.
        span_s: how long it was.
        ended_at: seconds since the epoch.
    """

    parts: list[tuple[Samples, Counter[tuple[int, int]]]] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    span_s: float = 0.0
    ended_at: float = 0.0


class Follower:
    """Gets all that a recording meets from now on, once. Calls must not overlap."""

    def __init__(self, at: float) -> None:
        self._met = Met(ended_at=at)

    def add(
        self, samples: Samples, counts: Counter[tuple[int, int]], figures: Counter[str], span_s: float, ended_at: float
    ) -> None:
        """Take over what a sampler met since the last time. See Met."""
        met = self._met
        if not met.parts or met.parts[-1][0] is not samples:
            met.parts.append((samples, Counter()))
        met.parts[-1][1].update(counts)
        met.figures.update(figures)
        met.span_s += span_s
        met.ended_at = ended_at

    def take(self) -> Met:
        """Return what came since the last time."""
        met, self._met = self._met, Met(ended_at=self._met.ended_at)
        return met


class Windows:
    """Makes windows of what a follower got; its functions are numbered on from window to window."""

    def __init__(self) -> None:
        self._functions: dict[Function, int] = {}
        self._trees: dict[int, _Tree] = {}

    def window(self, met: Met, names: Mapping[int, ThreadName]) -> Window:
        """Return a window.

        Args:
            met: what was met in it.
            names: of the threads, by the kernel's number.
        """
        known = len(self._functions)
        tally = _Tally(self._number(NO_FRAME))
        for samples, counts in met.parts:
            tally.add(self._tree(samples), counts)
        self._forget(met)
        threads = sorted(tally.threads.items())
        return Window(
            started_at=met.ended_at - met.span_s,
            ended_at=met.ended_at,
            turns=met.figures["turns"],
            states=tuple(map(sum, zip(*(one.states for _, one in threads), strict=True))) or (0,) * len(STATES),
            verified=met.figures["verified"],
            unsettled=met.figures["unsettled"],
            lost=sum(met.figures[reason] for reason in _LOST),
            new_functions=tuple(list(self._functions)[known:]),
            functions=tally.functions(),
            lines=tally.lines(),
            threads=tuple(_thread(native_id, one, names.get(native_id)) for native_id, one in threads),
        )

    def _number(self, function: Function) -> int:
        return self._functions.setdefault(function, len(self._functions))

    def _tree(self, samples: Samples) -> _Tree:
        if id(samples) not in self._trees:
            self._trees[id(samples)] = _Tree(samples, self._number)
        return self._trees[id(samples)]

    def _forget(self, met: Met) -> None:
        """Let go of samplers that have ended: one that met anything was the latest."""
        if met.parts:
            latest = id(met.parts[-1][0])
            self._trees = {latest: self._trees[latest]}


@dataclass(frozen=True, slots=True)
class _Place:
    """What a node stands for.

    Attributes:
        parent: the node of its caller, None of a thread.
        thread: the kernel's number of it.
        function: its number, _NO_FUNCTION of a thread and of a system call.
        line: in it.
        is_first: no node above it is of its function.
        is_first_line: no node above it is of its function and line.
        system_call: its name, "" where it is none.
    """

    parent: int | None
    thread: int
    function: int
    line: int
    is_first: bool
    is_first_line: bool
    system_call: str = ""


class _Tree:
    """What is known of the nodes of one sampler.

    Args:
        samples: its tables.
        number: of a function.
    """

    def __init__(self, samples: Samples, number: Callable[[Function], int]) -> None:
        self._samples, self._number = samples, number
        self.places: dict[int, _Place] = {}

    def place(self, node: int) -> _Place:
        """Return what a node stands for; that of all above it is known then, too."""
        nodes, chain, index = self._samples.nodes, list[int](), node
        while index not in self.places:
            chain.append(index)
            parent = nodes[index].parent
            if parent is None:
                break
            index = parent
        for one in reversed(chain):
            self.places[one] = self._found(one)
        return self.places[node]

    def _found(self, index: int) -> _Place:
        node = self._samples.nodes[index]
        if node.code == THREAD or node.parent is None:
            return _Place(None, node.where, _NO_FUNCTION, 0, is_first=False, is_first_line=False)
        thread = self.places[node.parent].thread
        if node.code == SYSTEM_CALL:
            call = syscalls.name(node.where)
            return _Place(node.parent, thread, _NO_FUNCTION, 0, is_first=False, is_first_line=False, system_call=call)
        function, line = function_and_line(node, self._samples.codes)
        number = self._number(function)
        is_first = is_first_line = True
        above: int | None = node.parent
        while above is not None and is_first_line:
            caller = self.places[above]
            if caller.function == number:
                is_first, is_first_line = False, caller.line != line
            above = caller.parent
        return _Place(node.parent, thread, number, line, is_first, is_first_line)


@dataclass(slots=True)
class _ThreadTally:
    """A thread: its samples by state, where it was innermost, and in which system calls."""

    states: list[int] = field(default_factory=lambda: [0] * len(STATES))
    places: Counter[tuple[int, int]] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)


class _Tally:
    """Adds up the counts of a window. What waits in a system call counts to the function that made the call.

    Args:
        no_frame: the number of what stands for no function.
    """

    def __init__(self, no_frame: int) -> None:
        self._outside = (no_frame, 0)
        self.threads: defaultdict[int, _ThreadTally] = defaultdict(_ThreadTally)
        self._own: Counter[tuple[int, int]] = Counter()
        self._line_totals: Counter[tuple[int, int]] = Counter()
        self._function_totals: Counter[int] = Counter()

    def add(self, tree: _Tree, counts: Mapping[tuple[int, int], int]) -> None:
        """Add what a sampler counted, by node and state."""
        sums: Counter[int] = Counter()
        for (node, state), count in counts.items():
            place = tree.place(node)
            thread = self.threads[place.thread]
            thread.states[state] += count
            caller = node
            if place.system_call and place.parent is not None:
                thread.calls[place.system_call] += count
                caller = place.parent
                place = tree.places[caller]
            where = (place.function, place.line) if place.function != _NO_FUNCTION else self._outside
            thread.places[where] += count
            counted = count * _COUNTED[state]
            self._own[where] += counted
            if where == self._outside:
                self._line_totals[where] += counted
                self._function_totals[where[0]] += counted
            else:
                sums[caller] += counted
        self._add_totals(tree.places, sums)

    def functions(self) -> Rows:
        """Return the functions."""
        own: Counter[int] = Counter()
        for (function, _), counted in self._own.items():
            own[function] += counted
        met = list(self._function_totals)
        return Rows(met, (), _counts(own[one] for one in met), _counts(self._function_totals.values()))

    def lines(self) -> Rows:
        """Return the lines."""
        met = list(self._line_totals)
        functions, lines = [function for function, _ in met], [line for _, line in met]
        return Rows(functions, lines, _counts(self._own[one] for one in met), _counts(self._line_totals.values()))

    def _add_totals(self, places: Mapping[int, _Place], sums: Counter[int]) -> None:
        """Add to each place what was met at and below its nodes.

        Args:
            places: what nodes stand for.
            sums: what was met at each node; gets what was met below, too.
        """
        for node in list(sums):
            above = places[node].parent
            while above is not None and above not in sums:
                sums[above] = 0
                above = places[above].parent
        # A caller's node comes before those of what it calls.
        for node in sorted(sums, reverse=True):
            place, counted = places[node], sums[node]
            if place.parent is not None:
                sums[place.parent] += counted
            if place.is_first:
                self._function_totals[place.function] += counted
            if place.is_first_line:
                self._line_totals[place.function, place.line] += counted


def _counts(counted: Iterable[int]) -> Counts:
    values = list(counted)
    wall, cpu, gil = ([value >> shift & _MASK for value in values] for shift in (0, _BITS, 2 * _BITS))
    return Counts(wall, cpu, gil)


def _thread(native_id: int, tally: _ThreadTally, name: ThreadName | None) -> ThreadWindow:
    ((function, line), _) = tally.places.most_common(1)[0]
    call = tally.calls.most_common(1)
    return ThreadWindow(
        native_id,
        name.thread_id if name else 0,
        name.name if name else "",
        tuple(tally.states),
        function,
        line,
        call[0][0] if call else "",
    )
