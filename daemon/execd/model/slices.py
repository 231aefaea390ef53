"""Slices of an always-on recording: what was met within a span of time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from execd.errors import UsageError
from execd.model.filter import where
from execd.model.merge import merge

if TYPE_CHECKING:
    from execd.model.profile import Header, Profile

# Each begins at a multiple of it.
SLICE_S: Final = 10
# In Header.extra of a part: start and end of the whole recording, which its figures are of.
PART_OF: Final = "part_of"


def has_slices(profile: Profile) -> bool:
    """Return whether a profile was recorded in slices."""
    return any(label.at_s for label in profile.labels)


def between(profile: Profile, from_s: float, to_s: float) -> Profile:
    """Return the slices that lie in a span of time, those at its edges whole.

    Args:
        profile: recorded in slices.
        from_s: where the span begins, seconds since the epoch.
        to_s: where it ends.

    Raises:
        UsageError: it has no slices, or none of that time; the remedy says what time it has.
    """
    if not has_slices(profile):
        raise UsageError(
            "this was not recorded in slices: it is one span of time",
            remedy=f"leave the time out: it was recorded {_told(profile.header.started_at, profile.header.ended_at)}",
            profile=profile.header.profile,
        )
    wanted = starts_between(profile, from_s, to_s)
    if not wanted:
        starts = [label.at_s for label in profile.labels if label.at_s]
        raise UsageError(
            f"nothing is kept {_told(from_s, to_s)}",
            remedy=f"ask for a time that is kept: {_told(min(starts), max(starts) + SLICE_S)}",
            profile=profile.header.profile,
        )
    found = where(profile, lambda label: label.at_s in wanted)
    header = _narrowed(profile.header, min(wanted), max(wanted) + SLICE_S)
    return replace(found, header=header)


def starts_between(profile: Profile, from_s: float, to_s: float) -> set[int]:
    """Return when the slices began that have something of a span of time, all in seconds since the epoch."""
    starts = {label.at_s for label in profile.labels if label.at_s}
    return {at_s for at_s in starts if from_s < at_s + SLICE_S and at_s < to_s}


def unsliced(profile: Profile) -> Profile:
    """Return the profile with equal stacks of one thread added up, whenever they were met."""
    if not has_slices(profile):
        return profile
    relabelled = replace(profile, labels=tuple(replace(label, at_s=0) for label in profile.labels))
    return replace(merge([relabelled]), header=profile.header)


def _narrowed(header: Header, from_s: float, to_s: float) -> Header:
    whole = header.extra.get(PART_OF, [header.started_at, header.ended_at])
    # A recording begins and ends within a slice.
    started_at = max(header.started_at, from_s)
    return replace(
        header,
        started_at=started_at,
        ended_at=max(min(header.ended_at, to_s), started_at),
        extra={**header.extra, PART_OF: whole},
    )


def _told(from_s: float, to_s: float) -> str:
    first, last = (datetime.fromtimestamp(one, UTC) for one in (from_s, to_s))
    shown = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"from {first:%Y-%m-%d %H:%M:%S} to {shown} UTC"
