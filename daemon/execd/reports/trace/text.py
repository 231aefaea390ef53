"""A stored trace as text, in the wording of `python -m trace --trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.lines.text import read_text
from execd.reports.header import header_lines
from execd.reports.trace.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text.

    Raises:
        UsageError: the setting timing is not true or false.
    """
    timing = options.settings.get("timing", False)
    if not isinstance(timing, bool):
        raise UsageError("the setting timing is not true or false", remedy="give true or false", setting="timing")
    wording = Wording(profile.functions, profile.locations, source_lines(profile, options), timing=timing)
    return "\n".join([*header_lines(profile.header, options.layout), *wording.texts(rows(profile)), ""]).encode()


def rows(profile: Profile) -> Iterator[tuple[int, int, int, int]]:
    """Return of each event its time, kind and location, and how many it stands for where it is a mark of lost ones."""
    columns = (profile.column("time_ns"), profile.column("kind"), profile.node_locations, profile.column("lost"))
    return zip(*columns, strict=True)


def source_lines(profile: Profile, options: ReportOptions) -> Callable[[str, int], str]:
    """Return what returns a line of a file of the profile, "" where it was not stored."""
    digests = {file.path: file.digest for file in profile.files if file.digest}
    texts: dict[str, tuple[str, ...]] = {}

    def source_line(path: str, line: int) -> str:
        if path not in texts:
            texts[path] = _lines(options.source(digests[path]) if path in digests else None)
        return texts[path][line - 1] if 0 < line <= len(texts[path]) else ""

    return source_line


def _lines(data: bytes | None) -> tuple[str, ...]:
    try:
        return read_text(data).lines if data is not None else ()
    except UsageError:
        return ()  # the places stand there all the same
