"""The listings of `trace`: its ".cover" files, byte for byte for equal counts."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from execd.model.lines.names import listing_parts, module_name, search_path
from execd.reports.escape import visible
from execd.reports.lines.files import chosen, reported, without_text
from execd.reports.lines.settings import line_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Profile
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions

_SUFFIX = ".cover"
_TAB = 8


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the listing of one file in the file's own encoding, or those of several in UTF-8, each below its path.

    Raises:
        UsageError: a setting does not fit, or the only file has no text.
    """
    files = reported(profile, options)
    missing = line_settings(options.settings).missing
    if len(chosen(profile, options)) == 1:
        return cover_file(next(files), missing=missing)
    return b"\n".join(_titled(file, missing=missing) for file in files)


def render_files(profile: Profile, options: ReportOptions) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the listing of each file that has a text.

    The name is package/module.cover, package.module.cover where the setting flat says so, or the absolute path beside
    the source where beside does. Of files that would have the same name, the later ones get a number.

    Raises:
        UsageError: a setting does not fit.
    """
    settings = line_settings(options.settings)
    folders = search_path(profile)
    taken: set[str] = set()
    for file in reported(profile, options):
        if file.text is None:
            continue
        parts = listing_parts(file.path, folders)
        name = ".".join(parts) if settings.flat else posixpath.join(*parts)
        if settings.beside:
            name = posixpath.join(posixpath.dirname(file.path), module_name(file.path))
        yield _free(visible(name), taken), cover_file(file, missing=settings.missing)


def cover_file(file: ReportedFile, *, missing: bool) -> bytes:
    """Return a file's listing, as `write_results_file` of Lib/trace.py writes it.

    Args:
        file: what ran in it.
        missing: mark lines that can run and did not.

    Raises:
        UsageError: it has no text.
    """
    if file.text is None:
        raise without_text(file)
    return _listing(file, missing=missing).encode(file.text.encoding, "backslashreplace")


def _titled(file: ReportedFile, *, missing: bool) -> bytes:
    title = f"==> {visible(file.path)} <==\n"
    problem = f"({visible(file.problem)})\n" if file.problem else ""
    listing = _listing(file, missing=missing) if file.text is not None else ""
    return f"{title}{problem}{listing}".encode("utf-8", "backslashreplace")


def _listing(file: ReportedFile, *, missing: bool) -> str:
    return "".join(f"{_mark(line.hits)}{line.text.expandtabs(_TAB)}" for line in file.listing(missing=missing))


def _mark(hits: int | None) -> str:
    match hits:
        case None:
            return " " * 7
        case 0:
            return ">>>>>> "
    return f"{hits:5d}: "


def _free(name: str, taken: set[str]) -> str:
    numbered = name
    number = 2
    while numbered in taken:
        numbered, number = f"{name}~{number}", number + 1
    taken.add(numbered)
    return numbered + _SUFFIX
