"""Where the agent's thread runs while it measures what events cost: where the program computes.

Processors differ in what they get done, by what else runs beside them, on the host of a virtual machine too: the same
loop took 1.7 times as long on one of two as on the other, for seconds. So for as long as it measures the agent's thread
is put on the processor of the thread that computes most. The daemon does that from outside, by sched_setaffinity(2).
"""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING, Final

from execd.attach import process
from execd.errors import ExecdError, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of more threads nobody asks, each time, what they have computed; the first one is asked always.
_MOST_THREADS: Final = 64
# proc(5), stat: counted behind the name, which may have anything in it.
_PROCESSOR_FIELD: Final = 36


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
        usual: set[int] = set()
        # It is another user's, or has ended: then it runs where it does.
        with contextlib.suppress(OSError, ExecdError):
            processor = self._busiest()
            # A target may have named any number: what is not a thread of its own is not touched.
            process.used_ns(self._pid, self.agent)
            if processor is not None:
                usual = os.sched_getaffinity(self.agent)
                os.sched_setaffinity(self.agent, {processor})
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if usual:
                    os.sched_setaffinity(self.agent, usual)

    def _busiest(self) -> int | None:
        """Return the processor of the thread that has computed most since the last time. Raises TargetGone."""
        used_ns = {}
        for tid in islice(process.threads(self._pid), _MOST_THREADS):
            with contextlib.suppress(TargetGone):
                used_ns[tid] = process.used_ns(self._pid, tid)
        spent = {tid: used - self._used_ns.get(tid, 0) for tid, used in used_ns.items() if tid != self.agent}
        self._used_ns = used_ns
        busiest = max(spent, key=spent.__getitem__, default=0)
        return _processor(self._pid, busiest) if spent.get(busiest) else None


def _processor(pid: int, tid: int) -> int:
    fields = process.read_file(f"/proc/{pid}/task/{tid}/stat").rpartition(b")")[2].split()
    return int(fields[_PROCESSOR_FIELD])


def seat_of(pid: int, said: Mapping[str, object]) -> Seat | None:
    """Return the seat of an agent by its answer to a start, None where that names no thread. Raises TargetGone."""
    named = said.get("thread_id")
    agent = process.thread_of(pid, named) if type(named) is int else None
    return None if agent is None else Seat(pid, agent)
