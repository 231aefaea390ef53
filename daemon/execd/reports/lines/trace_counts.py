"""The counts file of `trace` (its option --file): a pickle of three dictionaries, protocol 1."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from execd.model.lines.ignore import ignore
from execd.model.lines.listing import counts_by_file
from execd.reports.callers import pairs
from execd.reports.functions import called
from execd.reports.lines.settings import line_settings

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_PROTOCOL = 1


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the file that `python -m trace --report --file FILE` reads; it holds texts and numbers alone.

    Raises:
        UsageError: a setting does not fit.
    """
    counts: dict[tuple[str, int], int] = {}
    functions: dict[tuple[str, str, str], int] = {}
    callers: dict[object, int] = {}
    match profile.header.collector:
        case "functions":
            functions = dict.fromkeys(called(profile, options), 1)
        case "callers":
            callers = dict.fromkeys(pairs(profile, options), 1)
        case _:
            counts = _counts(profile, options)
    return pickle.dumps((counts, functions, callers), _PROTOCOL)


def _counts(profile: Profile, options: ReportOptions) -> dict[tuple[str, int], int]:
    settings = line_settings(options.settings)
    left_out = ignore(profile, settings.ignore_modules, settings.ignore_dirs)
    return {
        (path, line): lines[line]
        for path, lines in sorted(counts_by_file(profile).items())
        if not left_out.covers(path)
        for line in sorted(lines)
    }
