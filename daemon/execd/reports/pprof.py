"""The export for pprof: calls and self time of each stack, leaf first. Total times are pprof's to fold."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from execd_api.pprof import profile_pb2

from execd.model.filter import strip_dirs
from execd.model.fold import call_columns
from execd.reports.escape import visible
from execd.reports.names import command_line, standard_name
from execd.reports.stacks import TRUNCATED, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Function, Label, Profile
    from execd.reports.options import ReportOptions

# Samples are the bulk; they are written in portions, so that they never stand in memory all at once.
_SAMPLES_AT_ONCE = 2_000
_GZIP = 31
_INT64_MAX = (1 << 63) - 1


class _Strings(dict[str, int]):
    """pprof's string table: each new string gets the next index; "" must be the first."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return a gzipped pprof profile; stacks over MAX_DEPTH have a frame "(truncated)" at the bottom."""
    named = strip_dirs(profile) if options.strip_dirs else profile
    strings = _Strings({"": 0})
    packer = zlib.compressobj(level=1, wbits=_GZIP)
    # Repeated fields of protobuf messages that follow each other are appended: the parts are one profile.
    parts = [packer.compress(part.SerializeToString()) for part in _samples(named, strings)]
    tables = _tables(named, strings)
    tables.string_table.extend(strings)
    parts += [packer.compress(tables.SerializeToString()), packer.flush()]
    return b"".join(parts)


def _samples(profile: Profile, strings: _Strings) -> Iterator[profile_pb2.Profile]:
    columns = call_columns(profile)
    labels = [_labels(label, strings) for label in profile.labels]
    location_ids = [location + 1 for location in profile.node_locations]
    part = profile_pb2.Profile()
    for node, path in stacks(profile.parents, location_ids, len(profile.locations) + 1):
        values = (columns.calls[node], columns.self_ns[node])
        if any(values):
            path.reverse()
            label = labels[profile.node_labels[node]]
            part.sample.append(profile_pb2.Sample(location_id=path, value=values, label=label))
        if len(part.sample) == _SAMPLES_AT_ONCE:
            yield part
            part = profile_pb2.Profile()
    yield part


def _labels(label: Label, strings: _Strings) -> list[profile_pb2.Label]:
    thread = visible(label.thread_name) or str(label.thread_id)
    return [
        profile_pb2.Label(key=strings["thread"], str=strings[thread]),
        profile_pb2.Label(key=strings["thread_id"], num=min(label.thread_id, _INT64_MAX)),
        profile_pb2.Label(key=strings["pid"], num=label.pid),
    ]


def _tables(profile: Profile, strings: _Strings) -> profile_pb2.Profile:
    header = profile.header
    self_type = strings["self"]
    notes = [f"target: {command_line(header)}", f"collector: {header.collector}, {header.form} form"]
    notes += [f"lost: {reason}: {count}" for reason, count in header.lost.items() if count]
    notes += [f"caveat: {caveat}" for caveat in header.caveats]
    tables = profile_pb2.Profile(
        sample_type=[
            profile_pb2.ValueType(type=strings["calls"], unit=strings["count"]),
            profile_pb2.ValueType(type=self_type, unit=strings["nanoseconds"]),
        ],
        default_sample_type=self_type,
        time_nanos=int(header.started_at * 1e9),
        duration_nanos=max(0, int((header.ended_at - header.started_at) * 1e9)),
        comment=[strings[visible(note)] for note in notes],
    )
    _add_functions(tables, profile, strings)
    return tables


def _add_functions(tables: profile_pb2.Profile, profile: Profile, strings: _Strings) -> None:
    for number, function in enumerate(profile.functions, 1):
        tables.function.append(_function(number, function, strings))
    for number, location in enumerate(profile.locations, 1):
        _add_location(tables, number, location.function + 1, location.line)
    cut = len(profile.functions) + 1
    tables.function.append(profile_pb2.Function(id=cut, name=strings[TRUNCATED], system_name=strings[TRUNCATED]))
    _add_location(tables, len(profile.locations) + 1, cut, 0)


def _function(number: int, function: Function, strings: _Strings) -> profile_pb2.Function:
    # A C function has no file and line to show beside it.
    shown = function.qualname if function.first_line else standard_name((function.file, 0, function.name))
    name = strings[visible(shown)]
    file = strings[visible(function.file)] if function.first_line else 0
    return profile_pb2.Function(id=number, name=name, system_name=name, filename=file, start_line=function.first_line)


def _add_location(tables: profile_pb2.Profile, number: int, function: int, line: int) -> None:
    lines = [profile_pb2.Line(function_id=function, line=line)]
    tables.location.append(profile_pb2.Location(id=number, line=lines))
