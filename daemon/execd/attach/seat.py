"""Where the agent's thread runs while it measures what events cost: where the program computes.

Processors differ in what they get done, by what else runs beside them, on the host of a virtual machine too: the same
loop took 1.7 times as long on one of two as on the other, for seconds. So for as long as it measures the agent's thread
is put on the processor of the thread that computes most. The daemon does that from outside, by sched_setaffinity(2).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from execd.attach import process
from execd.errors import ExecdError, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of more threads nobody asks, each time, what they have computed; the first one is asked always.
_MOST_THREADS: Final = 64
# proc(5), stat: starttime, processor and policy, counted behind the name, which may have anything in it.
_FIELDS: Final = (19, 36, 38)
_REAL_TIME: Final = frozenset({os.SCHED_FIFO, os.SCHED_RR, 6})  # and SCHED_DEADLINE


class Seat:
    """The place of one agent's thread.

    Args:
        pid: its process.
        agent: our number of that thread.
    """

    def __init__(self, pid: int, agent: int) -> None:
        self.agent = agent
        self._pid = pid
        self._used_ns: dict[int, int] = {}

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Have the agent's thread run on the processor of the busiest thread for as long as this, where that can be."""
        place = None
        # It is another user's, or has ended: then it runs where it does.
        with contextlib.suppress(OSError, ExecdError):
            place = self._found()
            if place is not None:
                os.sched_setaffinity(self.agent, {place.processor})
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ExecdError):
                if place is not None and self._is_in(place):
                    os.sched_setaffinity(self.agent, place.usual)

    def _found(self) -> _Place | None:
        """Return where the agent's thread is to go, None where it is to stay where it runs. Raises TargetGone."""
        processor = self._busiest()
        # A target may have named any number: what is not a thread of its own is not touched.
        agent = _thread(self._pid, self.agent)
        usual = os.sched_getaffinity(self.agent)
        if processor is None or processor not in usual or len(usual) == 1:
            return None
        return _Place(frozenset(usual), processor, agent.started_ticks)

    def _is_in(self, place: _Place) -> bool:
        """Whether the agent's thread is where we have put it: nobody has moved it, and its number is its own."""
        same = _thread(self._pid, self.agent).started_ticks == place.started_ticks
        return same and os.sched_getaffinity(self.agent) == {place.processor}

    def _busiest(self) -> int | None:
        """Return the processor of the thread that has computed most since the last time. Raises TargetGone.

        A real-time one leaves no time to others, and most often needs none of Python's: beside it nobody is put.
        """
        used_ns = {}
        for tid in islice(process.threads(self._pid), _MOST_THREADS):
            with contextlib.suppress(TargetGone):
                used_ns[tid] = process.used_ns(self._pid, tid)
        spent = {tid: used - self._used_ns.get(tid, 0) for tid, used in used_ns.items() if tid != self.agent}
        self._used_ns = used_ns
        for tid in sorted(spent, key=spent.__getitem__, reverse=True):
            if not spent[tid]:
                return None
            with contextlib.suppress(TargetGone):
                if (found := _thread(self._pid, tid)).policy not in _REAL_TIME:
                    return found.processor
        return None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a thread was put, where it may run usually, and when it began, in ticks since the machine did."""

    usual: frozenset[int]
    processor: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class _Thread:
    """What the kernel says of a thread: when it began, in ticks; where it ran last; how it is scheduled."""

    started_ticks: int
    processor: int
    policy: int


def _thread(pid: int, tid: int) -> _Thread:
    """Return what the kernel says of a thread of a process. Raises TargetGone."""
    fields = process.read_file(f"/proc/{pid}/task/{tid}/stat").rpartition(b")")[2].split()
    return _Thread(*(int(fields[place]) for place in _FIELDS))


def seat_of(pid: int, said: Mapping[str, object]) -> Seat | None:
    """Return the seat of an agent by its answer to a start, None where that names no thread. Raises TargetGone."""
    named = said.get("native_thread_id")
    agent = process.thread_of(pid, named) if type(named) is int else None
    return None if agent is None else Seat(pid, agent)
