"""Samples for other tools: collapsed stacks and pprof, as they came where they came from these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.filter import strip_dirs
from execd.model.samples import measures
from execd.reports import collapsed as folded
from execd.reports import pprof as encoded
from execd.reports.samples.names import sample_name

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# Of each column: what pprof's own tools call it.
_TYPES = {"samples": ("samples", "count"), "wall_ns": ("wall", "nanoseconds"), "cpu_ns": ("cpu", "nanoseconds")}
_NS_A_US = 1000


def collapsed(profile: Profile, options: ReportOptions) -> bytes:
    """Return the stacks with their samples, else with their time in us. Raises UsageError where they are too large."""
    named = strip_dirs(profile) if options.strip_dirs else profile
    first, *_ = measures(named)
    return folded.lines(named, named.column(first), sample_name, 1 if first == "samples" else _NS_A_US)


def pprof(profile: Profile, options: ReportOptions) -> bytes:
    """Return a gzipped pprof profile of every measure in which there is something."""
    named = strip_dirs(profile) if options.strip_dirs else profile
    return encoded.encode(named, [(*_TYPES[measure], named.column(measure)) for measure in measures(named)])
