"""Samples for other tools: collapsed stacks and pprof, as they came where they came from these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.samples import measures
from execd.model.views import View, has_states
from execd.reports import collapsed as folded
from execd.reports import pprof as encoded
from execd.reports.samples.asked import refuse_by, seen
from execd.reports.samples.names import sample_name

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# Of each column: what pprof's own tools call it.
_TYPES = {"samples": ("samples", "count"), "wall_ns": ("wall", "nanoseconds"), "cpu_ns": ("cpu", "nanoseconds")}
_NS_A_US = 1000


def collapsed(profile: Profile, options: ReportOptions) -> bytes:
    """Return the stacks with their samples, else with their time in us.

    Raises:
        UsageError: they are too large, or an option does not fit.
    """
    refuse_by(options, "collapsed")
    shown = seen(profile, options).profile
    first, *_ = measures(shown)
    return folded.lines(shown, shown.column(first), sample_name, 1 if first == "samples" else _NS_A_US)


def pprof(profile: Profile, options: ReportOptions) -> bytes:
    """Return a gzipped pprof profile of every measure in which there is something, usually of all samples.

    Raises:
        UsageError: an option does not fit.
    """
    refuse_by(options, "pprof")
    shown = seen(profile, options, View.WALL if has_states(profile) else None).profile
    return encoded.encode(shown, [(*_TYPES[measure], shown.column(measure)) for measure in measures(shown)])
