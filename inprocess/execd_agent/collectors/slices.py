"""Time slices: a native recording goes on for a share of the time, where all of it may cost too much (3.9 to 3.11).

The interpreter tells a profile function of all calls or of none, and telling is most of what they cost: so the
function is taken out of all threads and set again, by the core, in the agent's thread while that waits for requests.
How long slices and pauses last differs by chance: what a program does again and again is met in its share.
"""

from __future__ import annotations

from time import monotonic, perf_counter_ns, thread_time_ns

from execd_agent.collectors import Refused
from execd_agent.collectors.calltree import native_id_of, native_ids
from execd_agent.frames import innermost_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.subscription import Subscription

# One slice and one pause on the mean, where slices are not shorter than is worth while: to switch takes the GIL twice.
_PERIOD_S = 0.1
_LEAST_SLICE_S = 0.01
_LEAST_WAIT_S = 0.001
# Slices and pauses last from half to one and a half times what they last on the mean.
_LEAST_OF_MEAN = 0.5
_CHANCES = 1 << 31
# A daemon that says nothing for so long is gone, or as good as gone: nothing is recorded for it.
_SILENCE_S = 30.0
_NOT_ALONE = "another recording hears the same events, or audit hooks of the program's do: time slices need them alone"


class Slices:
    """The slices of one recording. Used by the agent's thread alone.

    Args:
        core: the core's module.
        hooks: of the recording.
        codes: returns the code objects of a stack.
        enter: has the core know a thread of which it knows nothing.
        broken: told why the recording cannot go on.
    """

    def __init__(
        self,
        core: Any,
        hooks: Subscription,
        codes: Callable[[FrameType], tuple[Any, ...]],
        enter: Callable[[int, FrameType], None],
        broken: Callable[[str], None],
    ) -> None:
        self._core, self._hooks = core, hooks
        self._codes, self._enter, self._broken = codes, enter, broken
        self._share = 1.0
        self._is_paused = False
        # Whether it goes on in slices.
        self.is_on = False
        self._began_s = self._due_s = monotonic()
        # How long pauses should have been by now, and were not yet.
        self._owed_s = 0.0
        self._chance = perf_counter_ns() % _CHANCES
        # CPU time that all switches have taken, and how many slices there were.
        self._spent_ns = self._slices = 0
        self._silent_since_s = 0.0

    def begin(self, share: float) -> dict[str, int]:
        """Record for so much of the time from now on.

        Args:
            share: above 0 and below 1.

        Returns what switching has taken until now, and how many slices there were.

        Raises:
            Refused: somebody else hears the same events.
        """
        if not 0 < share < 1:
            raise Refused("time slices of %r of the time: it is a share above 0 and below 1" % (share,))
        if not self.is_on:
            if self._hooks.slots() is None:
                raise Refused(_NOT_ALONE)
            self._owed_s, self._began_s, self.is_on = 0.0, monotonic(), True
            self._due_s = self._began_s
        self._share = share
        return {"switching_ns": self._spent_ns, "slices": self._slices}

    def turn(self, descriptor: int) -> bool:
        """Do what is due, and wait until more is, or something can be read; returns whether it can, or none comes."""
        if not self.is_on:
            return True
        self._silent_since_s = self._silent_since_s or monotonic()
        if monotonic() >= self._due_s:
            began_ns = thread_time_ns()
            try:
                self._switch()
            except Exception as error:  # noqa: BLE001 - the daemon is told, the target goes on
                self._give_up("%s: %s" % (type(error).__name__, error))
            self._spent_ns += thread_time_ns() - began_ns
        is_left = self._is_paused and monotonic() - self._silent_since_s > _SILENCE_S
        if is_left or self._core.wait(descriptor, int(max(self._due_s - monotonic(), 0.0) * 1e6)):
            self._silent_since_s = 0.0
            return True
        return False

    def close(self) -> None:
        """Record no more: what was open gets its time."""
        slots = self._hooks.slots()
        if slots is not None:
            self._hooks.step_aside(self._go_on)
        if self._slices:
            self._core.pause(slots and slots[0])
        self.is_on = False

    def _switch(self) -> None:
        slots = self._hooks.slots()
        if slots is None:
            self._give_up(_NOT_ALONE)
        elif self._is_paused:
            self._proceed(slots)
            self._due_s = self._began_s + max(_PERIOD_S * self._share, _LEAST_SLICE_S) * self._jitter()
        else:
            self._pause(slots)
            self._due_s = self._began_s + max(self._owed_s * self._jitter(), _LEAST_WAIT_S)

    def _pause(self, slots: tuple[Any, Any]) -> None:
        self._hooks.step_aside(self._go_on)
        self._core.pause(slots[0])
        self._is_paused = True
        now_s = monotonic()
        self._owed_s += (now_s - self._began_s) * (1 - self._share) / self._share
        self._began_s = now_s
        self._settle()

    def _settle(self) -> None:
        """Say where those are that had no event in the slice: that is where they were in it."""
        for ident in self._core.unsettled(native_ids()):
            frame = innermost_frame(ident)
            if frame is not None and not self._core.settle(ident, native_id_of(ident), self._codes(frame)):
                self._enter(ident, frame)

    def _proceed(self, slots: tuple[Any, Any]) -> None:
        self._core.proceed(*slots)
        self._slices += 1
        self._hooks.step_back()
        self._is_paused = False
        now_s = monotonic()
        self._owed_s -= now_s - self._began_s
        self._began_s = now_s

    def _go_on(self) -> None:
        """Record all again: somebody else is about to hear the same events."""
        slots = self._hooks.slots()
        if self._is_paused and slots is not None:
            self._proceed(slots)
        # Where it is paused still nothing more can be recorded.
        self._give_up(_NOT_ALONE)

    def _give_up(self, why: str) -> None:
        self.is_on = False
        if self._is_paused:
            self._broken("its time slices have ended: " + why)

    def _jitter(self) -> float:
        """Return what a time is to be multiplied by, 1 on the mean."""
        self._chance = (self._chance * 1103515245 + 12345) % _CHANCES
        return _LEAST_OF_MEAN + self._chance / _CHANCES
