"""LCOV's tracefile: what `genhtml` and editors read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.reports.escape import visible
from execd.reports.lines.files import reported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Profile
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the tracefile. Raises UsageError where a setting does not fit."""
    lines = (line for file in reported(profile, options) for line in _record(file))
    return "".join(f"{line}\n" for line in lines).encode()


def _record(file: ReportedFile) -> Iterator[str]:
    hits = line_hits(file)
    yield from ("TN:", f"SF:{visible(file.path)}")
    yield from (f"DA:{line},{count}" for line, count in hits)
    yield from (f"LF:{len(hits)}", f"LH:{sum(1 for _, count in hits if count)}", "end_of_record")


def line_hits(file: ReportedFile) -> list[tuple[int, int]]:
    """Return the lines of a file that can run, and how often each did; no line that its text does not have."""
    if file.text is not None:
        return [(line.number, line.hits) for line in file.listing() if line.hits is not None]
    return [(line, file.hits.get(line, 0)) for line in sorted({*file.hits, *file.runnable})]
