"""The summary of `trace`: lines that can run, the share that ran, module and path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.model.lines.names import version_of
from execd.reports.escape import visible
from execd.reports.lines.files import reported

if TYPE_CHECKING:
    from execd.model.lines.listing import Tally
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

_TITLE = "lines   cov%   module   (path)"
# From here on the share has a decimal in the standard library.
_DECIMALS = (3, 14)


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the table as the target's version prints it, and below it what is not right with files.

    Raises:
        UsageError: a setting does not fit.
    """
    rows, problems = [], []
    with_decimals = version_of(profile.header.python_version) >= _DECIMALS
    for file in reported(profile, options):
        tally = file.tally()
        module, path = visible(file.module), visible(file.path)
        if tally.lines:
            rows.append((file.module, f"{tally.lines:5d}   {_share(tally, with_decimals)}   {module}   ({path})"))
        if file.problem:
            problems.append(f"{path}: {visible(file.problem)}")
    lines = [_TITLE, *(row for _, row in sorted(rows))] if rows else []
    return "".join(f"{line}\n" for line in [*lines, *([""] if problems else []), *problems]).encode()


def _share(tally: Tally, with_decimals: bool) -> str:  # noqa: FBT001 - said by its name
    return f"{tally.hit / tally.lines:.1%}" if with_decimals else f"{tally.percent:3d}%"
