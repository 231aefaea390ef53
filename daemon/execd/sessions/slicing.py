"""Time slices: a recording that may not go on for all of the time goes on for a share of it that keeps its limit.

Below Python 3.12, where single functions cannot be switched off. The agent makes the slices (collectors/slices.py);
here is decided what share of the time they are. Once it goes on in slices a recording is never whole again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from execd.errors import CollectorRefused
from execd.model.lines.names import version_of
from execd.model.overhead import percent, share_of
from execd.sessions.overhead import SWITCHES_OFF

if TYPE_CHECKING:
    from execd.model.overhead import Overhead
    from execd.sessions.armed import Armed
    from execd.sessions.live import LiveTarget

# Less than that is nothing to draw conclusions from.
LEAST_SHARE: Final = 0.01
MOST_SHARE: Final = 0.9
# Of the limit: what is aimed at, and below what the share is raised again. What lies between is left as it is.
_AIM: Final = 0.8
_LOW: Final = 0.4
_MOST_RAISE: Final = 2.0
_ANSWER_S: Final = 1.0
# As collectors/slices.py has them.
_PERIOD_S: Final = 0.1
_LEAST_SLICE_S: Final = 0.01
# Slices differ from each other: so many of them are looked at, and a second at least.
_PERIODS: Final = 5
_LEAST_SPAN_S: Final = 1.0
_LEAST_SLICES: Final = 3
_MOST_COUNT: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Slicing:
    """How a recording goes on.

    Attributes:
        share: of the time that is recorded.
        switching_ns: CPU time that its agent has taken until now to switch.
        slices: that there were until now.
    """

    share: float = 1.0
    switching_ns: int = 0
    slices: int = 0

    @property
    def span_s(self) -> float:
        """How long it takes to tell what it costs."""
        return max(_LEAST_SPAN_S, _PERIODS * max(_PERIOD_S, _LEAST_SLICE_S / self.share))


def can_slice(armed: Armed, python_version: str) -> bool:
    """Whether a recording goes on in slices where it costs too much."""
    return armed.form == "native" and version_of(python_version) < SWITCHES_OFF


def adapt(live: LiveTarget, armed: Armed, spent: Overhead, limit: float) -> str:
    """Have a recording go on in slices that keep it within its limit. The caller holds the target's lock.

    Args:
        live: the target.
        armed: what records.
        spent: what it has cost since this was done for the last time.
        limit: of the share that is added.

    Returns why it cannot be kept, "" where it can, or where it records in full again and that is not known yet.

    Raises:
        AgentSilent: it did not answer yet, and may do so later all the same.
    """
    before = armed.slicing or Slicing()
    try:
        now = before if armed.slicing is None else _asked(live, armed, before.share)
        switching_ns = max(now.switching_ns - before.switching_ns, 0)
        # The agent takes it, beside what the program does.
        cpu_ns = spent.cpu_ns + switching_ns
        share = next_share(now.share, share_of(spent.added_ns + switching_ns, cpu_ns), limit)
        if armed.slicing is not None and (share is None or share > now.share):
            # Where the agent did not come to it, that it cost little, or much, says nothing.
            share = share if now.slices - before.slices >= _LEAST_SLICES else now.share
        if share is None:
            switching = f", with {percent(switching_ns / cpu_ns)} of its CPU time for switching" if switching_ns else ""
            return f"it does so in time slices of {now.share:.0%} of the time{switching}, and shorter ones tell nothing"
        if share != now.share:
            # Where it answers late it does so all the same.
            _take_down(armed, replace(now, share=share))
            now = _asked(live, armed, share)
        _take_down(armed, now)
    except CollectorRefused as refused:
        # It records in full: within the limit, for what that costs is known in the next second.
        _take_down(armed, None)
        return "" if spent.share is not None and spent.share <= limit else refused.message
    return ""


def next_share(share: float, added: float, limit: float) -> float | None:
    """Return for what share of the time a recording may go on, None where it is the least already.

    Args:
        share: for which it goes on.
        added: what is added so, of what the program would take without.
        limit: of that.
    """
    if added > limit:
        return max(share * _part(limit * _AIM) / _part(added), LEAST_SHARE) if share > LEAST_SHARE else None
    if added >= limit * _LOW:
        return share
    raised = share * _part(limit * _AIM) / _part(added) if added > 0 else MOST_SHARE
    return max(min(raised, share * _MOST_RAISE, MOST_SHARE), share)


def _part(added: float) -> float:
    """Return what is added as a part of all that a program takes with it: that goes with the time that is recorded."""
    return added / (1 + added)


def _take_down(armed: Armed, slicing: Slicing | None) -> None:
    """Take down how a recording goes on, None for in full."""
    armed.slicing = slicing
    if armed.gauge is not None:
        told = slicing or Slicing()
        armed.gauge.recorded, armed.gauge.span_s = told.share, told.span_s


def _asked(live: LiveTarget, armed: Armed, share: float) -> Slicing:
    """Ask for slices. Raises CollectorRefused, AgentSilent."""
    facts = live.request("slice", timeout_s=_ANSWER_S, session=armed.key, share=share).facts
    return Slicing(share, _count(facts.get("switching_ns")), _count(facts.get("slices")))


def _count(said: object) -> int:
    return said if type(said) is int and 0 <= said < _MOST_COUNT else 0
