"""A session: one mode of measuring at work on one process, from start to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execctl.api.process import Process


@dataclass(frozen=True, slots=True)
class Overhead:
    """What recording calls costs a process.

    Attributes:
        events_per_s: that it has, two of each call.
        event_ns: what one costs on the mean, the interpreter's dispatch included; 0.0 where that is not known.
        share: what is added, of the CPU time that the process would take without; None where that is not known.
        span_s: over how many seconds, the last ones.
        recorded: the share of the time that is recorded: below 1.0 where it goes on in time slices, to keep its limit.
    """

    events_per_s: float
    event_ns: float
    share: float | None
    span_s: float
    recorded: float = 1.0


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it stood when it was asked for.

    Attributes:
        id: "s12".
        name: what the user called it, or "".
        group: "g3", shared by the sessions that were started together.
        pid: of the process; 0 of what was imported or added up.
        command_line: its argv.
        python_version: "3.11.7".
        collector: what measures: "calls", "lines", "cover", "functions", "callers", "trace", "memory", "census",
            "samples".
        options: the collector's own, JSON values.
        labels: by key.
        into: the stored profile that its last one is added to, or "".
        children: whether it stands for those of its process's descendants too, which are of the same group.
        form: "native" or "python"; "" before it runs; "imported", "merged".
        state: "starting", "running", "stopping", "stopped", "failed", "target_gone" or "interrupted".
        started_at: seconds since the epoch.
        ended_at: seconds since the epoch, None while it goes on.
        reason: why it ended, where no stop ended it.
        caveats: what its numbers do not say, one sentence each.
        latest_profile: its newest stored profile, "p34", or "".
        overhead: of one of calls that goes on, what it costs its process of late; None where that is not known.
    """

    id: str
    name: str
    group: str
    pid: int
    command_line: tuple[str, ...]
    python_version: str
    collector: str
    options: Mapping[str, object]
    labels: Mapping[str, str]
    into: str
    children: bool
    form: str
    state: str
    started_at: float
    ended_at: float | None
    reason: str
    caveats: tuple[str, ...]
    latest_profile: str
    overhead: Overhead | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """What an attach did.

    Attributes:
        target: the process.
        sessions: those that it started, in the order of the modes.
        joined: an agent was there before.
        attach_s: from the request to the last session recording, seconds.
        stopped_s: how long the process's threads were stopped, summed, seconds; 0 where it joined.
        method: how the code came to run: "pending call", "remote debugger" or "borrowed thread".
        notes: what else is to be known of it, a sentence each.
    """

    target: Process
    sessions: tuple[Session, ...]
    joined: bool
    attach_s: float
    stopped_s: float
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Detachment:
    """What a detach did.

    Attributes:
        target: the process.
        sessions: those that it ended.
        was_attached: an agent of this daemon was in it.
        residue: what stays in the process, one sentence each.
    """

    target: Process
    sessions: tuple[Session, ...]
    was_attached: bool
    residue: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TracedLines:
    """Some events of a trace.

    Attributes:
        session: "s12" in the first, else "".
        text: whole lines, in the wording of `python -m trace --trace`.
        end: how many events there were with the last of these, lost ones among them.
        lost: how many are missing between those before and these.
    """

    session: str
    text: str
    end: int
    lost: int
