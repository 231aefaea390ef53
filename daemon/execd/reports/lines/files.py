"""The files of a profile of lines with their texts, as every report on lines takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.lines.ignore import ignore
from execd.model.lines.listing import FileHits, ListedLine, Tally, by_file, listed, tally
from execd.model.lines.names import full_module_name, search_path
from execd.model.lines.text import SourceText, read_text
from execd.reports.escape import visible
from execd.reports.lines.settings import line_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Profile
    from execd.model.source import SourceFile
    from execd.reports.options import ReportOptions

_LISTED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """A file as reports have it.

    Attributes:
        path: co_filename.
        digest: of its source, or "".
        module: its dotted name by the target's search path.
        hits: how often each line ran.
        text: None where the store has none.
        problem: what is not right with it, or "".
        runnable: the lines that can run.
    """

    path: str
    digest: str
    module: str
    hits: dict[int, int]
    text: SourceText | None
    problem: str
    runnable: tuple[int, ...]

    def listing(self, *, missing: bool = True) -> list[ListedLine]:
        """Return its lines; those that can run and did not are marked where `missing` says so."""
        lines = self.text.lines if self.text is not None else ()
        return listed(lines, self.hits, self.runnable if missing else ())

    def tally(self) -> Tally:
        """Return how many lines can run, and ran."""
        if self.text is not None:
            return tally(self.listing())
        return Tally(len({*self.hits, *self.runnable}), len(self.hits))


def chosen(profile: Profile, options: ReportOptions) -> list[FileHits]:
    """Return the files that a report is about: those of the profile less what the settings leave out.

    Raises:
        UsageError: a setting does not parse, or names no file, or several.
    """
    settings = line_settings(options.settings)
    left_out = ignore(profile, settings.ignore_modules, settings.ignore_dirs)
    files = [file for file in by_file(profile) if not left_out.covers(file.path)]
    return [_only(settings.file, files, search_path(profile))] if settings.file else files


def reported(profile: Profile, options: ReportOptions) -> Iterator[ReportedFile]:
    """Yield the files that a report is about, with their texts, one at a time. Raises UsageError as `chosen` does."""
    folders = search_path(profile)
    return (_reported(file, full_module_name(file.path, folders), options) for file in chosen(profile, options))


def text_of(source: SourceFile, options: ReportOptions) -> tuple[SourceText | None, str]:
    """Return the text of a file, None with the reason where there is none."""
    if not source.digest:
        return None, source.problem or "was not stored"
    data = options.source(source.digest)
    if data is None:
        return None, "is not in the store any more"
    try:
        return read_text(data), source.problem
    except UsageError as error:
        return None, error.message


def without_text(file: ReportedFile) -> UsageError:
    """Return the error of a report that is of a text alone."""
    return UsageError(
        f"there is no text of {visible(file.path)}: it {visible(file.problem)}",
        remedy="the text report shows its figures",
        file=visible(file.path),
    )


def _reported(file: FileHits, module: str, options: ReportOptions) -> ReportedFile:
    text, problem = text_of(file.source, options)
    return ReportedFile(file.path, file.source.digest, module, dict(file.hits), text, problem, file.source.lines)


def _only(wanted: str, files: list[FileHits], folders: tuple[str, ...]) -> FileHits:
    exact = [file for file in files if file.path == wanted]
    found = exact or [
        file for file in files if file.path.endswith(f"/{wanted}") or full_module_name(file.path, folders) == wanted
    ]
    if len(found) == 1:
        return found[0]
    candidates = [visible(file.path) for file in found or files]
    more = f" and {len(candidates) - _LISTED_AT_MOST} more" if len(candidates) > _LISTED_AT_MOST else ""
    raise UsageError(
        f"{len(found) or 'no'} files of this profile are called {wanted!r}" if found else f"no lines of {wanted!r} ran",
        remedy=f"choose one of: {', '.join(candidates[:_LISTED_AT_MOST]) or 'none was recorded'}{more}",
        file=ascii(wanted),
    )
