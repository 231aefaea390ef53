"""Profiles of lines, functions and callers made by hand, and what `trace` makes of the same counts."""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING, Any

from call_trees import header
from execd.model.lines.text import read_text
from execd.model.profile import ROOT, Column, Function, Label, Location, Profile, check
from execd.model.source import SourceFile
from execd.reports import ReportOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LABEL = Label(0, "", 4711)


def line_profile(
    counts: Mapping[tuple[str, int], int],
    *,
    files: Sequence[SourceFile] = (),
    collector: str = "lines",
    search_path: Sequence[str] = (),
    **fields: Any,
) -> Profile:
    """Return a profile of lines, or of cover.

    Args:
        counts: how often a line of a file ran.
        files: what is known of the sources.
        collector: "lines" or "cover".
        search_path: sys.path of the target.
        **fields: the header's.
    """
    paths = list(dict.fromkeys(path for path, _ in counts))
    name, unit = ("hits", "count") if collector == "lines" else ("mark", "number")
    extra = {"search_path": list(search_path), "prefix": "/usr", "exec_prefix": "/opt/exec"}
    return check(
        Profile(
            header(collector=collector, **({"extra": extra} | fields)),
            tuple(Function("<module>", "<module>", path, 1) for path in paths),
            tuple(Location(paths.index(path), line) for path, line in counts),
            (LABEL,),
            array("i", [ROOT] * len(counts)),
            array("i", range(len(counts))),
            array("i", [0] * len(counts)),
            (Column(name, unit, array("q", counts.values())),),
            tuple(files),
        )
    )


def call_profile(
    functions: Sequence[Function], calls: Sequence[tuple[int, int]], *, collector: str = "callers", **fields: Any
) -> Profile:
    """Return a profile of functions, or of callers.

    Args:
        functions: those that were called.
        calls: caller and callee, places in `functions`; for the collector functions none.
        collector: "functions" or "callers".
        **fields: the header's.
    """
    nodes, parents = [], []
    for caller, callee in calls:
        parents += [ROOT, len(nodes)]
        nodes += [caller, callee]
    if collector == "functions":
        nodes, parents = list(range(len(functions))), [ROOT] * len(functions)
    values = [0 if parent == ROOT else 1 for parent in parents] if collector == "callers" else [1] * len(nodes)
    name, unit = ("calls", "count") if collector == "callers" else ("mark", "number")
    return check(
        Profile(
            header(collector=collector, **fields),
            tuple(functions),
            tuple(Location(index, 0) for index in range(len(functions))),
            (LABEL,),
            array("i", parents),
            array("i", nodes),
            array("i", [0] * len(nodes)),
            (Column(name, unit, array("q", values)),),
        )
    )


class Sources:
    """Sources in place of a store."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}

    def add(self, path: Path | str, data: bytes, lines: Sequence[int], problem: str = "") -> SourceFile:
        """Keep the text of a file and return what is known of it."""
        digest = hashlib.sha256(data).hexdigest()
        self.texts[digest] = data
        return SourceFile(str(path), digest, tuple(sorted(set(lines))), problem)

    def options(self, **settings: Any) -> ReportOptions:
        """Return the options of a report that reads from here."""
        return ReportOptions(settings=settings, source=self.texts.get)


def line_count(data: bytes) -> int:
    """Return how many lines a text has."""
    return len(read_text(data).lines)
