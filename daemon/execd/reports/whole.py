"""Whole profiles as JSON, for programs: what the Python API makes its values of.

Of calls it is the JSON report with all callers, of memory the traces instead of statistics, so that every statistic can
be made of it; of everything else the JSON report. The traces, Schema 1:

    schema           1
    report           "traces"
    profile          as in the report of calls, see document.py
    traceback_limit  how many frames a traceback has at most
    files            names of files
    tracebacks       each a list of frames, the oldest first: index in files, line
    traces           each: domain, count (blocks), size (bytes of them all), index in tracebacks, how many frames there
                     were before the traceback was cut
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.reports import document
from execd.reports.escape import valid
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.options import View

if TYPE_CHECKING:
    from execd.model.memory.blocks import Frame
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

FORMAT = "whole"


def calls(profile: Profile, options: ReportOptions) -> bytes:
    """Return all functions with their callers."""
    return document.render(profile, replace(options, view=View.CALLERS))


def memory(profile: Profile, options: ReportOptions) -> bytes:
    """Return all traces that the settings choose.

    Raises:
        UsageError: a setting does not fit.
    """
    files: dict[str, int] = {}
    tracebacks: dict[tuple[Frame, ...], int] = {}
    traces = [
        (one.domain, one.count, one.size, tracebacks.setdefault(one.frames, len(tracebacks)), one.total_frames)
        for one in chosen_blocks(profile, options, memory_options(options))
    ]
    places = [[(files.setdefault(file, len(files)), line) for file, line in frames] for frames in tracebacks]
    return json.dumps(
        {
            **document.head("traces", profile.header),
            "traceback_limit": profile.header.extra.get("traceback_limit", 1),
            "files": [valid(file) for file in files],
            "tracebacks": places,
            "traces": traces,
        }
    ).encode()
