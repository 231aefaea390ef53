"""What is switched on in a target, or at it, and the sessions that stand on it."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from execd.errors import CollectorRefused
from execd.model.collector import collector_of
from execd.model.overhead import SWITCHED_OFF
from execd.model.profile import Header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.profile import Profile
    from execd.model.session import Session
    from execd.model.target import Target
    from execd.sessions.native import NativeTables
    from execd.sessions.overhead import Gauge
    from execd.sessions.slicing import Slicing
    from execd.sessions.stream.feed import Feed

# How often what is recorded is stored in case we end before it does.
CHECKPOINT_S = 5.0
# A client that records for a time stops its session itself.
CLIENT_GRACE_S = 2.0
# Of an option, in a message; a filter may have many patterns.
_LONGEST_VALUE = 100


@dataclass(slots=True)
class Armed:
    """A collector that is switched on in a target, and who uses it."""

    key: str
    collector: str
    options: Mapping[str, object]
    form: str
    caveats: tuple[str, ...]
    users: set[str]
    since: float
    memory_bytes: int = 0
    # Of a collector that hands over events, not a table.
    feed: Feed | None = None
    # Of one in its native form, where what it records can be read from here.
    native: NativeTables | None = None
    checkpoint_s: float = CHECKPOINT_S
    # Of calls: what it costs, and what was switched off to keep that within a limit.
    gauge: Gauge | None = None
    # Where it goes on in time slices, for the same end.
    slicing: Slicing | None = None
    # It was switched on before any code of the program ran that it would have heard of.
    from_first_line: bool = False

    @property
    def extra(self) -> dict[str, object]:
        """What a header of its profiles has beside what the collector tells."""
        off = [] if self.gauge is None else self.gauge.switched_off()
        return {SWITCHED_OFF: [asdict(one) for one in off]} if off else {}


@dataclass(slots=True)
class Running:
    """A session that goes on: as it is stored, what it stands on, and what was there before it."""

    session: Session
    armed: Armed
    baseline: Profile | None
    checkpoint_due: float = 0.0
    # Why it ends, where nobody asked for it.
    breach: str = ""
    # Of a tree's root: what is not recorded below it.
    notes: tuple[str, ...] = ()
    # On time.monotonic(); when the client that asked for so long must have ended it, if it is there.
    ends_at: float = math.inf
    # Nobody named its process, which may be gone before anything was recorded: then the session goes too.
    goes_if_empty: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it has outlasted what was asked for, and its client."""
        return time.monotonic() >= self.ends_at


def check_shared(armed: Armed, asked: Mapping[str, object], pid: int) -> None:
    """Raise CollectorRefused where what is armed in a process has other options than are asked for; says which."""
    names = sorted(name for name in {*armed.options, *asked} if armed.options.get(name) != asked.get(name))
    if not names:
        return
    holder = min(armed.users)
    told = [f"{name} is {_shown(armed.options, name)}, {_shown(asked, name)} was asked for" for name in names]
    raise CollectorRefused(
        f"session {holder} records {armed.collector} on process {pid} with other options: {'; '.join(told)}",
        remedy=f"use the same options, or stop it first: execctl stop {holder}",
        pid=pid,
        holder=holder,
    )


def header_of(target: Target, running: Running, now: float) -> Header:
    """Return the header of a profile of what a session has recorded until now, as the daemon knows it."""
    session, armed = running.session, running.armed
    return Header(
        collector=armed.collector,
        form=armed.form,
        session=session.id,
        pid=target.key.pid,
        command_line=target.command_line,
        python_version=target.python_version,
        started_at=armed.since,
        ended_at=now,
        options=armed.options,
        extra=armed.extra,
        caveats=(
            *([running.breach] if running.breach else []),
            *running.notes,
            *armed.caveats,
            *_of_the_collector(running),
        ),
    )


def _of_the_collector(running: Running) -> tuple[str, ...]:
    """Return what all of a collector's profiles do not say; of one from the first line on there was nothing before."""
    caveat = collector_of(running.armed.collector).caveat
    # A session that came later begins with what was there by then.
    is_whole = running.armed.from_first_line and running.baseline is None
    return (caveat,) if caveat and not is_whole else ()


def _shown(options: Mapping[str, object], name: str) -> str:
    """Return the value of an option as JSON, cut where it is long."""
    text = json.dumps(options[name]) if name in options else "not set"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
