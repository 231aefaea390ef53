"""How samples were taken, and how far they are to be trusted: what stands above every report of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from execd.model.sampled import figures_in
from execd.model.slices import PART_OF, SLICE_S
from execd.model.views import LEFT_OUT, cut_samples
from execd.reports.figures import number_of, part

if TYPE_CHECKING:
    from execd.model.profile import Header, Profile
    from execd.model.sampled import Figures
    from execd.reports.header import Fact

# Above the one, and below the other, a report says what that means.
_MOST_UNSETTLED: Final = 0.05
_LEAST_ACHIEVED: Final = 0.9


def recording_facts(profile: Profile) -> list[Fact]:
    """Return the line with the figures of a recording, and caveats where they are bad; nothing of what was imported."""
    header = profile.header
    found = figures_in(header)
    if found is None:
        return []
    span = header.extra.get(PART_OF)
    of_what = "; all this of the whole recording" if span else ""
    told = f"{_rate(found)}; {_samples(found)}; {_stops(found, header)}{of_what}"
    return [*_whole(span), ("Sampled", told), *(("Caveat", caveat) for caveat in (*caveats_of(found), *_cut(profile)))]


def caveats_of(found: Figures) -> list[str]:
    """Return what the figures of a recording mean for its report."""
    caveats = []
    if found.unsettled_share > _MOST_UNSETTLED:
        share = f"{found.unsettled_share:.1%}"
        caveats.append(f"{share} of the stacks moved while they were read: what lay between is shown as (unsettled)")
    if found.rate_hz and found.achieved_hz < _LEAST_ACHIEVED * found.rate_hz:
        share = f"{found.achieved_hz / found.rate_hz:.0%}"
        caveats.append(f"samples came at {share} of the rate asked for: the machine was busy, or it is too high a rate")
    return caveats


def _cut(profile: Profile) -> list[str]:
    """Return what is to be said of stacks that were too deep, nothing where there are none."""
    cut = cut_samples(profile)
    if not cut:
        return []
    share = part(cut, sum(profile.column("samples")))
    return [
        f"{number_of(cut, 'sample')} ({share:.1%}) had more frames than are read: {LEFT_OUT} stands for the outermost, "
        "whose functions have too small a total"
    ]


def _whole(span: object) -> list[Fact]:
    match span:
        case [int() | float() as started_at, int() | float() as ended_at]:
            return [("Part of", f"a recording of {ended_at - started_at:.3f} s, in slices of {SLICE_S} s")]
    return []


def _rate(found: Figures) -> str:
    if not found.rate_hz:
        return f"{found.achieved_hz:,.1f} Hz"
    return f"{found.achieved_hz:,.1f} of {found.rate_hz:,g} Hz"


def _samples(found: Figures) -> str:
    whole = found.verified + found.unsettled + found.unchanged
    shares = (
        f"{part(count, whole):.1%} {what}"
        for count, what in (
            (found.verified, "verified"),
            (found.unsettled, "unsettled"),
            (found.unchanged, "unchanged since the look before"),
        )
    )
    return f"{number_of(whole, 'sample')}: {', '.join(shares)}; {part(found.lost, whole + found.lost):.1%} lost"


def _stops(found: Figures, header: Header) -> str:
    refused = f", {number_of(found.stop_refused, 'stop')} refused" if found.stop_refused else ""
    if not found.stopped:
        return ("never stopped" if header.extra.get("stopping") == "never" else "nothing stopped") + refused
    times = ((name, value) for name, value in (("p50", found.stop_p50_us), ("p99", found.stop_p99_us)) if value)
    return (
        f"stopped {number_of(found.stopped, 'time')}{''.join(f', {name} {us:.0f} us' for name, us in times)}{refused}"
    )
