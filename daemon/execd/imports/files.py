"""Files of other tools as profiles: the table of formats, and how a format is told from the content."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from execd.errors import UsageError
from execd.imports import collapsed_file, pprof_file, pstats_file, trace_counts, tracemalloc_file
from execd.imports.allowance import freely

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execd.model.profile import Header, Profile

_Spend: TypeAlias = "Callable[[int], None]"
FORMATS: Mapping[str, Callable[[bytes, Header, _Spend], list[Profile]]] = {
    "pstats": lambda data, header, spend: [pstats_file.profile_of(pstats_file.read(data, spend), header)],
    "trace-counts": lambda data, header, spend: trace_counts.profiles(trace_counts.read(data, spend), header),
    "tracemalloc": lambda data, header, spend: [
        tracemalloc_file.profile_of(tracemalloc_file.read(data, spend), header, spend)
    ],
    "collapsed": lambda data, header, spend: [collapsed_file.profile_of(data, header, spend)],
    "pprof": lambda data, header, spend: [pprof_file.profile_of(data, header, spend)],
}
# A marshalled dictionary, with or without a reference to it; a JSON object begins with the first of them too.
_DICTIONARIES = (b"{", b"\xfb")
# Of a marshalled dictionary: a tuple, of either size and with or without a reference, or the end.
_KEYS = (b"(", b")", b"\xa8", b"\xa9", b"0")
# A pickle of protocol 2 or newer, and the tuple that one of protocol 1 begins with.
_PICKLE, _OLD_PICKLE = b"\x80", b"("
# The class is named within so many bytes.
_BEGINNING = 200


def profiles_of(data: bytes, format_name: str, header: Header, spend: Callable[[int], None] = freely) -> list[Profile]:
    """Return what a file holds, a profile for each collector; one at least.

    Args:
        data: the file.
        format_name: a key of FORMATS; "" to tell it from the content.
        header: where it comes from; its collector is replaced, and its option "unit" says what collapsed stacks count.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: there is no such format, or the file is not of it, is damaged, over the limits, or empty.
    """
    name = format_name or told_format(data)
    if name not in FORMATS:
        raise UsageError(
            f"no format {name!r} is imported", remedy=f"choose from: {', '.join(FORMATS)}", format=ascii(name)
        )
    if header.options and name != "collapsed":
        raise UsageError(f"a file of {name} says itself what it counts", remedy="leave --unit out")
    found = FORMATS[name](data, header, spend)
    if not any(len(one.parents) for one in found):
        raise UsageError("the file holds no counts, functions, callers or stacks", remedy="choose another")
    return found


def told_format(data: bytes) -> str:
    """Return the format that a file's beginning tells of. Raises UsageError where it tells of none."""
    first, second = data[:1], data[1:2]
    if first in _DICTIONARIES and second in _KEYS:
        return "pstats"
    if first == _PICKLE:
        return "tracemalloc" if b"tracemalloc" in data[:_BEGINNING] else "trace-counts"
    if first == _OLD_PICKLE:
        return "trace-counts"
    if data.startswith(pprof_file.GZIP):
        return "pprof"
    if collapsed_file.looks_like(data):
        return "collapsed"
    what = "the file is of no format that is imported" if data else "the file is empty"
    raise UsageError(what, remedy=f"what is: {', '.join(FORMATS)}")
