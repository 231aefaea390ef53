"""Which lines of which files ran, and how a file reads with that: what `trace` makes its listings of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.model.profile import BUILTIN_FILE
from execd.model.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from execd.model.profile import Profile

# A line with it does not count as missed (PRAGMA_NOCOVER of Lib/trace.py).
_NO_COVER = "#pragma NO COVER"


@dataclass(frozen=True, slots=True)
class FileHits:
    """A file with lines that ran.

    Attributes:
        path: co_filename; that of a ".pyc" as its source's, as in `trace`.
        hits: how often each line ran; of a profile of collector cover, 1.
        source: what is known of the file; without digest and lines where nothing is.
    """

    path: str
    hits: Mapping[int, int]
    source: SourceFile


@dataclass(frozen=True, slots=True)
class ListedLine:
    """A line of a listing: how often it ran, 0 where it can run and did not, None where it cannot."""

    number: int
    text: str
    hits: int | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many lines can run, those that ran among them, and how many ran."""

    lines: int
    hit: int

    @property
    def percent(self) -> int:
        """The share that ran, rounded down as `trace` does."""
        return int(100 * self.hit / self.lines) if self.lines else 100


def by_file(profile: Profile) -> list[FileHits]:
    """Return the files of a profile of lines or cover in the order of their paths, without "<string>" and the like."""
    files: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for path, counts in counts_by_file(profile).items():
        lines = files[_source_path(path)]
        lines |= {line: lines.get(line, 0) + count for line, count in counts.items()}
    known = {_source_path(file.path): file for file in profile.files}
    return [
        FileHits(path, files[path], known.get(path, SourceFile(path, "", ())))
        for path in sorted(files)
        if is_file(path)
    ]


def counts_by_file(profile: Profile) -> dict[str, dict[int, int]]:
    """Return how often the lines of each co_filename ran, those of all functions and threads together."""
    is_marked = profile.header.collector == "cover"
    values = profile.columns[0].values
    files: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for node, place in enumerate(profile.node_locations):
        location = profile.locations[place]
        if values[node] and location.line:
            lines = files[profile.functions[location.function].file]
            lines[location.line] = 1 if is_marked else lines.get(location.line, 0) + values[node]
    return dict(files)


def is_file(path: str) -> bool:
    """Return whether a co_filename names a file, and not "<string>" or C code."""
    return not (path.startswith("<") and path.endswith(">")) and path not in ("", BUILTIN_FILE)


def listed(lines: Iterable[str], hits: Mapping[int, int], runnable: Iterable[int]) -> list[ListedLine]:
    """Return the lines of a file with their hits.

    Args:
        lines: its text.
        hits: how often each ran.
        runnable: those that can run, which are marked where they did not.
    """
    can_run = frozenset(runnable)
    return [ListedLine(number, text, _hits(number, text, hits, can_run)) for number, text in enumerate(lines, 1)]


def tally(listing: Sequence[ListedLine]) -> Tally:
    """Return the figures of a listing, as the summary of `trace` counts them."""
    can_run = [line.hits for line in listing if line.hits is not None]
    return Tally(len(can_run), sum(1 for hits in can_run if hits))


def _hits(number: int, text: str, hits: Mapping[int, int], can_run: frozenset[int]) -> int | None:
    if number in hits:
        return hits[number]
    return 0 if number in can_run and _NO_COVER not in text else None


def _source_path(path: str) -> str:
    return path[:-1] if path.endswith(".pyc") else path
