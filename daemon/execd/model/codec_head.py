"""The JSON part of the profile format: what is read from it is typed and in range, or refused."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from execd.errors import ProfileCorrupt
from execd.model.profile import MAX_NODES, Header, Label
from execd.model.source import SourceFile

if TYPE_CHECKING:
    from execd.model.profile import Profile

MAX_COLUMNS = 16
# What walks over options recurses; nothing of ours nests deeper than three.
MAX_NESTING = 32

_INT64 = 1 << 63
_INT32 = 1 << 31
_DIGEST = re.compile(r"([0-9a-f]{64})?")
# Seconds since the epoch that still fit into int64 nanoseconds (the year 2242), which pprof needs.
_LATEST = float(1 << 33)
# Of labels, those of version 1 first: that has no domain, and the next no slice.
_LABELS = ([int, str, int], [int, str, int, int], [int, str, int, int, int])
_Kind = TypeVar("_Kind", str, int, float, list[Any], dict[str, Any])


def head_of(profile: Profile, strings: list[str]) -> dict[str, Any]:
    """Return the JSON part of a profile; the strings are those that its functions' columns index.

    Raises:
        ProfileCorrupt: a field is out of range.
    """
    header = header_of(header_json(profile.header))
    return {
        "header": header_json(header),
        "strings": strings,
        "labels": [[one.thread_id, one.thread_name, one.pid, one.domain, one.at_s] for one in profile.labels],
        "functions": len(profile.functions),
        "locations": len(profile.locations),
        "nodes": len(profile.parents),
        "columns": [[column.name, column.unit] for column in profile.columns],
        "files": [[file.path, file.digest, list(file.lines), file.problem] for file in profile.files],
    }


def header_json(header: Header) -> dict[str, Any]:
    """Return a header as the JSON object that `header_of` reads."""
    return {
        "collector": header.collector,
        "form": header.form,
        "session": header.session,
        "pid": header.pid,
        "command_line": list(header.command_line),
        "python_version": header.python_version,
        "started_at": float(header.started_at),
        "ended_at": float(header.ended_at),
        "options": dict(header.options),
        "lost": dict(header.lost),
        "caveats": list(header.caveats),
        "extra": dict(header.extra),
    }


def header_of(raw: dict[str, Any]) -> Header:
    """Return the header that a JSON object holds.

    Raises:
        ProfileCorrupt: a field is missing, of another type, or out of range.
    """
    return Header(
        collector=field_of(raw, "collector", str),
        form=field_of(raw, "form", str),
        session=field_of(raw, "session", str),
        pid=_within_int64("pid", field_of(raw, "pid", int)),
        command_line=texts_of(raw, "command_line"),
        python_version=field_of(raw, "python_version", str),
        started_at=_instant(raw, "started_at"),
        ended_at=_instant(raw, "ended_at"),
        options=_shallow("options", field_of(raw, "options", dict)),
        lost=_lost(field_of(raw, "lost", dict)),
        caveats=texts_of(raw, "caveats"),
        extra=_shallow("extra", field_of(raw, "extra", dict)),
    )


def labels_of(head: dict[str, Any]) -> tuple[Label, ...]:
    """Return the labels.

    Raises:
        ProfileCorrupt: one is not a thread id, a name, a PID, a domain and the start of a slice.
    """
    return tuple(_label(entry) for entry in field_of(head, "labels", list))


def counts_of(head: dict[str, Any]) -> dict[str, int]:
    """Return how many functions, locations and nodes there are.

    Raises:
        ProfileCorrupt: a count is over the limit of the model.
    """
    counts = {name: field_of(head, name, int) for name in ("functions", "locations", "nodes")}
    for name, count in counts.items():
        if not 0 <= count <= MAX_NODES:
            raise ProfileCorrupt(f"{count} {name} are over the limit of {MAX_NODES}")
    return counts


def directory_of(head: dict[str, Any]) -> list[list[str]]:
    """Return name and unit of each column.

    Raises:
        ProfileCorrupt: there are too many, or an entry is something else.
    """
    directory = field_of(head, "columns", list)
    if len(directory) > MAX_COLUMNS:
        raise ProfileCorrupt(f"{len(directory)} columns are over the limit of {MAX_COLUMNS}")
    for entry in directory:
        if type(entry) is not list or [type(part) for part in entry] != [str, str]:
            raise ProfileCorrupt("an entry of the column directory is not a name and a unit")
    return directory


def texts_of(raw: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of strings.

    Raises:
        ProfileCorrupt: it is missing or holds something else.
    """
    texts = field_of(raw, name, list)
    if any(type(text) is not str for text in texts):
        raise ProfileCorrupt(f"an entry of {name} is not a string")
    return tuple(texts)


def field_of(raw: dict[str, Any], name: str, kind: type[_Kind]) -> _Kind:
    """Return a field of exactly this type.

    Raises:
        ProfileCorrupt: it is missing or of another type.
    """
    value = raw.get(name)
    # Not isinstance: True is no count.
    if type(value) is not kind:
        raise ProfileCorrupt(f"the field {name!r} is missing or of another type than {kind.__name__}")
    return value


def files_of(head: dict[str, Any]) -> tuple[SourceFile, ...]:
    """Return the source files.

    Raises:
        ProfileCorrupt: one is not a path, a digest, its lines and a problem.
    """
    return tuple(_file(entry) for entry in field_of(head, "files", list)) if "files" in head else ()


def _file(entry: object) -> SourceFile:
    match entry:
        case [str(path), str(digest), list(lines), str(problem)] if _ascend(lines) and _DIGEST.fullmatch(digest):
            return SourceFile(path, digest, tuple(lines), problem)
        case _:
            raise ProfileCorrupt("a source file is not a path, a digest, ascending lines and a problem")


def _ascend(lines: list[object]) -> bool:
    if any(type(line) is not int or not 0 < line < _INT32 for line in lines):
        return False
    return all(before < after for before, after in pairwise(lines))  # type: ignore[operator]


def _label(entry: object) -> Label:
    # Not isinstance: True is no count.
    kinds = [type(part) for part in entry] if type(entry) is list else []
    if kinds not in _LABELS:
        raise ProfileCorrupt("a label is not a thread id, a thread name, a PID, a domain and the start of a slice")
    thread_id, name, pid, domain, at_s = (*entry, 0, 0)[:5]  # type: ignore[misc]
    # get_ident() is an unsigned long.
    if not (0 <= thread_id < 2 * _INT64 and 0 <= pid < _INT64 and 0 <= domain < 2 * _INT32 and 0 <= at_s < _LATEST):
        raise ProfileCorrupt("a label's thread id, PID, domain or slice is out of range")
    return Label(thread_id, name, pid, domain, at_s)


def _lost(raw: dict[str, Any]) -> dict[str, int]:
    return {reason: _within_int64("lost", field_of(raw, reason, int)) for reason in raw}


def _shallow(name: str, value: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [value]
    for _ in range(MAX_NESTING):
        parts = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
        level = [part for part in parts if isinstance(part, dict | list | tuple)]
        if not level:
            return value
    raise ProfileCorrupt(f"{name} nest deeper than {MAX_NESTING}")


def _instant(raw: dict[str, Any], name: str) -> float:
    seconds = field_of(raw, name, float)
    if not 0.0 <= seconds < _LATEST:
        raise ProfileCorrupt(f"{name} is out of range")
    return seconds


def _within_int64(name: str, value: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise ProfileCorrupt(f"{name} is out of range")
    return value
