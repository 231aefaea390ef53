"""A recording of one process's stacks: its sampler, the slices of time that are kept, the names of its threads."""

from __future__ import annotations

import math
import struct
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from execd import _sampler
from execd.errors import ExecdError, UsageError
from execd.model.slices import SLICE_S
from execd.sampling.options import STOPPING
from execd.sampling.profile import Part, stack_profile
from execd.sampling.sampler import ProcessSampler
from execd.sampling.slices import Slices
from execd.sampling.thread_names import thread_names
from execd.sampling.window import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execd._sampler import Crowd
    from execd.attach.interpreter import Interpreter
    from execd.model.profile import Header, Profile
    from execd.sampling.options import SamplingOptions
    from execd.sampling.samples import Samples
    from execd.sampling.slices import Slice
    from execd.sampling.thread_names import ThreadName

_STOPPING: Final = dict(
    zip(STOPPING, (_sampler.STOP_AS_NEEDED, _sampler.STOP_ALWAYS, _sampler.STOP_NEVER), strict=True)
)
# A thread that is renamed is looked at again after so long, in an always-on recording later: a look at all takes some
# millisecond. New ones are looked at at once.
_NAMES_S, _KEPT_NAMES_S = 10.0, 60.0
# An always-on recording begins with new tables here: what has aged out is let go of with the old ones.
_NODES_KEPT: Final = 20_000
_LOST: Final = ("unread", "torn", "no_code", "no_room")
# How many there were at the last look: no sum.
_LEFT_OUT: Final = "threads_left_out"
_MOST_NAMED: Final = 20
_TOLD: Final = ("turns", "missed_turns", "put_off", "verified", "unsettled", "unchanged", "stopped", "stop_refused")
_NS_A_S: Final = 1_000_000_000


@dataclass(slots=True)
class _Era:
    """What one sampler has met, by slice; and what it had told by the last look."""

    sampler: ProcessSampler
    slices: Slices = field(default_factory=Slices)
    figures: dict[str, int] = field(default_factory=dict)
    held: bytes = b""


class StackRecording:
    """Samples a process from the start until it is closed, or the process has ended. Calls must not overlap.

    Args:
        pid: of the process.
        interpreter: in it.
        options: how.
        clock: seconds since the epoch.
        crowd: in which its samplers are.

    Raises:
        NotSupported, TargetGone, AttachBusy: see ProcessSampler.
        UsageError: it has no such thread.
    """

    def __init__(
        self,
        pid: int,
        interpreter: Interpreter,
        options: SamplingOptions,
        clock: Callable[[], float],
        crowd: Crowd,
    ) -> None:
        self._pid, self._interpreter, self._options, self._clock = pid, interpreter, options, clock
        self._crowd = crowd
        self._names = thread_names(interpreter)
        self._thread = _thread(pid, self._names, options.thread) if options.thread else 0
        self._eras = [_Era(self._sampler())]
        self._names_s = _KEPT_NAMES_S if options.keep_s else _NAMES_S
        self._names_due = time.monotonic() + self._names_s
        self._moved = False
        self._followers: list[Follower] = []
        self.started_at = clock()
        self._looked_at = time.monotonic()
        self._eras[0].sampler.start(crowd, options.interval_ns)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._eras[-1].sampler.ended

    @property
    def replaced(self) -> bool:
        """Whether the process executes another program now."""
        return self._eras[-1].sampler.replaced

    @property
    def moved(self) -> bool:
        """Whether a thread had moved at a sample between the last look but one and the last one."""
        return self._moved

    @property
    def news(self) -> int:
        """What is readable while there are code objects whose names should be read soon."""
        return self._eras[-1].sampler.news()

    @property
    def rate_hz(self) -> float:
        """How often a second all threads are to be looked at."""
        return self._options.rate_hz

    @property
    def names(self) -> Mapping[int, ThreadName]:
        """The threads that are known now, by the kernel's number."""
        return dict(self._names)

    def follow(self) -> Follower:
        """Return what gets all that is met from now on, until `unfollow`."""
        self.drain()
        follower = Follower(self._clock())
        self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Let go of a follower."""
        self._followers.remove(follower)

    def drain(self) -> None:
        """Take what is new; often enough that what code objects say is still there. Of a closed one nothing is."""
        era = self._eras[-1]
        if era.sampler.closed:
            return
        era.sampler.drain()
        self._count(era)
        self._look_at_names()
        if self._options.keep_s:
            self._forget(self._clock() - self._options.keep_s)

    def close(self) -> None:
        """End it, and take what is left. Once more is no error."""
        era = self._eras[-1]
        if not era.sampler.closed:
            era.sampler.close()
            self._count(era)

    def taken(self, header: Header) -> Callable[[], Profile]:
        """Return what makes a profile of what is there now, later and in any thread.

        Args:
            header: of the profile; its figures are added.
        """
        by_era = [list(era.slices) for era in self._eras]
        parts = [_part(era.sampler.samples, slices) for era, slices in zip(self._eras, by_era, strict=True)]
        slices = list(chain.from_iterable(by_era))
        names = dict(self._names)
        figures = Counter[str]()
        held = Counter[int]()
        for one in slices:
            figures.update(one.figures)
            held.update(one.held)
        turns, span_s = figures["turns"], sum(one.span_s for one in slices)
        interval_ns = span_s * _NS_A_S / turns if turns else self._options.interval_ns
        ended_at = self._clock() - (time.monotonic() - self._looked_at)
        told = replace(
            header,
            started_at=ended_at - span_s,
            ended_at=ended_at,
            extra=self._extra(figures, held, turns / span_s if span_s else 0.0),
            lost={name: lost for name in _LOST if (lost := figures[name])} | self._left_out(),
        )
        return lambda: stack_profile(told, [one.listed() for one in parts], names, interval_ns)

    def _sampler(self) -> ProcessSampler:
        return ProcessSampler(self._pid, self._interpreter, _STOPPING[self._options.stopping], self._thread)

    def _left_out(self) -> dict[str, int]:
        count = self._eras[-1].sampler.samples.figures.get(_LEFT_OUT, 0)
        return {_LEFT_OUT: count} if count else {}

    def _count(self, era: _Era) -> None:
        """Count what was taken to the slice that the time since the last look lies in, or most of it."""
        samples = era.sampler.samples
        before, self._looked_at = self._looked_at, min(time.monotonic(), era.sampler.over_at)
        span_s, ended_at = self._looked_at - before, self._clock() - (time.monotonic() - self._looked_at)
        middle = ended_at - span_s / 2
        slice_ = era.slices.at(int(middle // SLICE_S) * SLICE_S if self._options.keep_s else 0)
        counts, figures = samples.take_counts(), _gained(samples.figures, era.figures)
        self._moved = bool(figures["verified"] or figures["unsettled"])
        slice_.counts.update(counts)
        slice_.figures.update(figures)
        if samples.held != era.held:
            slice_.held.update(_buckets(samples.held) - _buckets(era.held))
        slice_.span_s += span_s
        for follower in self._followers:
            follower.add(samples, counts, figures, span_s, ended_at)
        era.figures, era.held = samples.figures, samples.held

    def _forget(self, before_s: float) -> None:
        """Let go of slices that ended before a time, and of tables that none is left of."""
        for era in self._eras:
            era.slices.forget(before_s)
        self._eras = [era for era in self._eras if era.slices or era is self._eras[-1]]
        if len(self._eras[-1].sampler.samples.nodes) > _NODES_KEPT:
            self._begin_anew()

    def _begin_anew(self) -> None:
        with suppress(ExecdError):  # a later drain tries again; until then this one goes on
            fresh = self._sampler()
            old = self._eras[-1]
            old.sampler.close()
            self._count(old)
            self._eras.append(_Era(fresh))
            fresh.start(self._crowd, self._options.interval_ns)
            # A program may start a thread for each thing that it does.
            kept = set[int]().union(*(era.sampler.samples.threads for era in self._eras))
            self._names = {native_id: known for native_id, known in self._names.items() if native_id in kept}

    def _look_at_names(self) -> None:
        """Read the names of the threads, at times and where there are new ones."""
        now = time.monotonic()
        if now >= self._names_due:
            self._names_due = now + self._names_s
            self._names.update(thread_names(self._interpreter))
        elif not self._eras[-1].sampler.samples.threads <= self._names.keys():
            self._names.update(thread_names(self._interpreter, self._names))

    def _extra(self, figures: Counter[str], held: Counter[int], achieved_hz: float) -> dict[str, object]:
        extra: dict[str, object] = {name: figures[name] for name in _TOLD}
        extra |= {"rate_hz": self._options.rate_hz, "achieved_hz": achieved_hz, "stopping": self._options.stopping}
        if figures["stopped"]:
            extra |= {"stop_p50_us": _percentile_us(held, 0.5), "stop_p99_us": _percentile_us(held, 0.99)}
        return extra


def _thread(pid: int, names: Mapping[int, ThreadName], wanted: str) -> int:
    """Return the kernel's number of the thread of a name, or of either of its numbers. Raises UsageError."""
    for native_id, known in names.items():
        if wanted in (known.name, str(known.thread_id), str(native_id)):
            return native_id
    there = ", ".join(sorted({repr(known.name) for known in names.values() if known.name})[:_MOST_NAMED])
    raise UsageError(
        f"process {pid} has no thread {wanted!r}", remedy=f"choose one of: {there or 'none has a name'}", pid=pid
    )


def _part(samples: Samples, slices: Sequence[Slice]) -> Part:
    counts: dict[int, Counter[tuple[int, int]]] = {}
    for one in slices:
        counts.setdefault(one.at_s, Counter()).update(one.counts)
    return Part(samples.nodes, samples.codes, counts)


def _gained(figures: Mapping[str, int], before: Mapping[str, int]) -> Counter[str]:
    """Return what figures have become more by."""
    return Counter({name: now - then for name, now in figures.items() if now > (then := before.get(name, 0))})


def _buckets(held: bytes) -> Counter[int]:
    """Return how often threads were held so long, by bucket of struct stops (daemon/native/stop.h)."""
    return Counter(dict(enumerate(struct.unpack(f"<{len(held) // 8}Q", held))))


def _percentile_us(held: Counter[int], share: float) -> float:
    """Return the upper end of the bucket that this share of the times held is in or below."""
    left = share * held.total()
    for bucket in sorted(held):
        left -= held[bucket]
        if left <= 0:
            return round(math.sqrt(1 << bucket), 1)
    return 0.0
