"""The export for pprof: calls and self time of each stack, leaf first. Total times are pprof's to fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.pprof import profile_pb2

from execd.model.filter import strip_dirs
from execd.model.fold import call_columns
from execd.model.profile import BUILTIN_FILE
from execd.reports.escape import visible
from execd.reports.names import program, standard_name
from execd.reports.pprof_encoding import Encoding, add_location
from execd.reports.stacks import TRUNCATED, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from execd.model.profile import Function, Label, Profile
    from execd.reports.options import ReportOptions
    from execd.reports.pprof_encoding import Strings

_INT64_MAX = (1 << 63) - 1


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return a gzipped pprof profile; stacks over MAX_DEPTH have a frame "(frames left out)" at the bottom."""
    named = strip_dirs(profile) if options.strip_dirs else profile
    columns = call_columns(named)
    return encode(named, [("calls", "count", columns.calls), ("self", "nanoseconds", columns.self_ns)])


def encode(profile: Profile, types: Sequence[tuple[str, str, Sequence[int]]]) -> bytes:
    """Return a tree as a gzipped pprof profile.

    Args:
        profile: the tree.
        types: of each value of a sample its name, its unit, and one a node.
    """
    encoding = Encoding()
    encoding.add(_samples(profile, [values for _, _, values in types], encoding.strings))
    return encoding.finished(_tables(profile, encoding), profile.header, [(name, unit) for name, unit, _ in types])


def _samples(profile: Profile, columns: Sequence[Sequence[int]], strings: Strings) -> Iterator[profile_pb2.Sample]:
    tree = profile.header.tree
    programs = {one.header.pid: program(one.header) for one in tree.processes} if tree else {}
    labels = [_labels(label, programs, strings) for label in profile.labels]
    location_ids = [location + 1 for location in profile.node_locations]
    for node, path in stacks(profile.parents, location_ids, len(profile.locations) + 1):
        values = tuple(column[node] for column in columns)
        if any(values):
            path.reverse()
            yield profile_pb2.Sample(location_id=path, value=values, label=labels[profile.node_labels[node]])


def _labels(label: Label, programs: Mapping[int, str], strings: Strings) -> list[profile_pb2.Label]:
    thread = visible(label.thread_name) or str(label.thread_id)
    process = programs.get(label.pid)
    of_tree = [(strings["process"], strings[f"{process} ({label.pid})"])] if process else []
    return [
        *(profile_pb2.Label(key=key, str=value) for key, value in of_tree),
        profile_pb2.Label(key=strings["thread"], str=strings[thread]),
        profile_pb2.Label(key=strings["thread_id"], num=min(label.thread_id, _INT64_MAX)),
        profile_pb2.Label(key=strings["pid"], num=label.pid),
    ]


def _tables(profile: Profile, encoding: Encoding) -> profile_pb2.Profile:
    tables = profile_pb2.Profile()
    for number, function in enumerate(profile.functions, 1):
        _add_function(tables, number, function, encoding)
    for number, location in enumerate(profile.locations, 1):
        add_location(tables, number, location.function + 1, location.line)
    cut = len(profile.functions) + 1
    encoding.add_function(tables, cut, TRUNCATED)
    add_location(tables, len(profile.locations) + 1, cut, 0)
    return tables


def _add_function(tables: profile_pb2.Profile, number: int, function: Function, encoding: Encoding) -> None:
    if function.first_line or function.file not in ("", BUILTIN_FILE):
        name, file = visible(function.qualname), visible(function.file)
        encoding.add_function(tables, number, name, file=file, first_line=function.first_line)
    else:
        # A C function has no file and line to show beside it.
        is_builtin = function.file == BUILTIN_FILE
        name = standard_name((function.file, 0, function.name)) if is_builtin else function.name
        encoding.add_function(tables, number, visible(name))
