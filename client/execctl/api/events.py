"""Profiles of a trace: the events that it kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from execctl.api.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

_NS_A_SECOND = 1e9
_KINDS: tuple[Literal["line", "call", "lost"], ...] = ("line", "call", "lost")


@dataclass(frozen=True, slots=True)
class Event:
    """A line that ran, a call, or a mark where events are missing.

    Attributes:
        time_s: since the start, seconds.
        kind: "line", "call" or "lost".
        filename: as the process names it.
        lineno: of the line; 0 of a call.
        function: its qualified name.
        thread: the name of the thread.
        lost: how many events a mark stands for.
    """

    time_s: float
    kind: Literal["line", "call", "lost"]
    filename: str
    lineno: int
    function: str
    thread: str
    lost: int


@dataclass(frozen=True, slots=True)
class TraceProfile(Profile):
    """What `trace=True` records.

    Attributes:
        events: in their order.
    """

    events: tuple[Event, ...]


def read_events(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> TraceProfile:
    """Return the profile that a JSON report of a trace holds."""
    columns = [raw["events"][name] for name in ("time_ns", "kind", "place", "thread", "lost")]
    places, threads = raw["places"], raw["threads"]
    events = tuple(
        Event(
            time_ns / _NS_A_SECOND,
            _KINDS[kind],
            places[place]["file"],
            places[place]["line"],
            places[place]["function"],
            threads[thread]["thread_name"],
            lost,
        )
        for time_ns, kind, place, thread, lost in zip(*columns, strict=True)
    )
    return TraceProfile(**begun, events=events)
