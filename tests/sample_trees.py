"""Samples for tests: made by hand, as a recording by the daemon has them, with figures that are known."""

from __future__ import annotations

import random
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from call_trees import header
from execd.model.collector import SAMPLES, STATES
from execd.model.profile import ROOT, Column, Function, Label, Location, Profile, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Header

INTERVAL_NS = 5_000_000
STARTED_AT = 1_700_000_000
MAIN = Label(140_000_000_001, "MainThread", 4711)
WORKER = Label(140_000_000_002, "worker", 4711)
EXTRA: dict[str, Any] = {
    "rate_hz": 200.0,
    "achieved_hz": 198.4,
    "turns": 1984,
    "missed_turns": 16,
    "verified": 1200,
    "unsettled": 12,
    "unchanged": 2756,
    "stopped": 120,
    "stop_refused": 0,
    "stop_p50_us": 44.2,
    "stop_p99_us": 101.9,
    "stopping": "as needed",
}


class Stack(NamedTuple):
    """A stack that was met.

    Attributes:
        frames: the outermost first: names of functions, "work:12" with the line; "(unsettled)" stands for others.
        counts: as STATES has them: running with the GIL and without, waiting with it, for it, else.
        label: in which thread, and when.
    """

    frames: tuple[str, ...]
    counts: tuple[int, int, int, int, int]
    label: Label = MAIN


# What is known of it: of 100 samples 40 ran, 30 of them with the GIL, and 31 held it.
STACKS = (
    Stack(("main:3", "serve:10", "work:21"), (18, 2, 0, 4, 0)),
    Stack(("main:3", "serve:10", "work:22"), (6, 0, 1, 1, 0)),
    Stack(("main:3", "serve:11", "(unsettled)"), (2, 0, 0, 0, 0)),
    Stack(("main:3", "serve:12"), (0, 0, 0, 0, 3)),
    Stack(("main:3", "serve:12", "(system call epoll_wait)"), (0, 0, 0, 0, 13)),
    Stack(("run:7", "fib:31"), (2, 0, 0, 0, 0), WORKER),
    Stack(("run:7", "fib:31", "fib:31"), (2, 0, 0, 0, 0), WORKER),
    Stack(("run:7", "compress:40"), (0, 8, 0, 0, 0), WORKER),
    Stack(("run:7", "get:50", "(system call futex)"), (0, 0, 0, 0, 38), WORKER),
)


def samples(stacks: Sequence[Stack] = STACKS, **fields: Any) -> Profile:
    """Return a profile of these stacks; the fields are the header's."""
    nodes: dict[tuple[int, str, Label], int] = {}
    counts: list[list[int]] = []
    for stack in stacks:
        place = ROOT
        for frame in stack.frames:
            place = nodes.setdefault((place, frame, stack.label), len(nodes))
            if place == len(counts):
                counts.append([0] * len(STATES))
        counts[place] = [before + more for before, more in zip(counts[place], stack.counts, strict=True)]
    functions = {frame: index for index, frame in enumerate(dict.fromkeys(_named(one) for _, one, _ in nodes))}
    locations = {frame: index for index, frame in enumerate(dict.fromkeys(one for _, one, _ in nodes))}
    labels = {label: index for index, label in enumerate(dict.fromkeys(one for _, _, one in nodes))}
    return check(
        Profile(
            sampled_header(**fields),
            tuple(map(_function, functions)),
            tuple(Location(functions[_named(one)], int(one.partition(":")[2] or 0)) for one in locations),
            tuple(labels),
            array("i", (parent for parent, _, _ in nodes)),
            array("i", (locations[frame] for _, frame, _ in nodes)),
            array("i", (labels[label] for _, _, label in nodes)),
            _columns(counts),
        )
    )


def random_samples(seed: int, size: int = 200) -> Profile:
    """Return samples of several threads and slices, with recursion and every state."""
    chance = random.Random(seed)  # noqa: S311 - samples, not secrets
    stacks = [
        Stack(
            tuple(f"f{chance.randrange(6)}:{chance.randrange(1, 9)}" for _ in range(chance.randrange(1, 7)))
            + (("(system call read)",) if chance.random() < 0.2 else ()),
            tuple(chance.choice((0, 0, 1, 7)) for _ in STATES),  # type: ignore[arg-type]
            Label(chance.randrange(1, 4), "thread", 4711, at_s=chance.choice((10, 20, 30))),
        )
        for _ in range(size)
    ]
    return samples(stacks)


def sampled_header(**fields: Any) -> Header:
    """Return the header of a recording by the daemon; each field can be given."""
    usual = {"collector": "samples", "form": "native", "profile": "p7", "extra": EXTRA, "options": {"rate_hz": 200.0}}
    return header(**(usual | fields))


def _named(frame: str) -> str:
    return frame.partition(":")[0]


def _function(name: str) -> Function:
    if name.startswith("("):
        return Function(name, name, "~", 0)
    return Function(name, f"App.{name}", "/srv/app.py" if name < "m" else "/srv/shop/server.py", 1 + len(name))


def _columns(counts: Sequence[Sequence[int]]) -> tuple[Column, ...]:
    sums = [sum(row) for row in counts]
    figures = [sums, [one * INTERVAL_NS for one in sums], [sum(row[:2]) * INTERVAL_NS for row in counts]]
    figures += [[row[state] for row in counts] for state in range(len(STATES))]
    known = (*SAMPLES.columns, *STATES)
    return tuple(Column(*column, array("q", values)) for column, values in zip(known, figures, strict=True))
