"""The encoding of pprof's files, whatever their samples are of: a string table, samples in portions, gzipped."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING

from execd_api.pprof import profile_pb2

from execd.reports.escape import visible
from execd.reports.names import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.profile import Header

# Samples are the bulk; they are written in portions, so that they never stand in memory all at once.
_SAMPLES_AT_ONCE = 2_000
_GZIP = 31


class Strings(dict[str, int]):
    """pprof's string table: each new string gets the next index; "" must be the first."""

    def __init__(self) -> None:
        super().__init__({"": 0})

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


class Encoding:
    """One file as it is written.

    Attributes:
        strings: its string table.
    """

    def __init__(self) -> None:
        self.strings = Strings()
        self._packer = zlib.compressobj(level=1, wbits=_GZIP)
        self._parts: list[bytes] = []

    def add(self, samples: Iterable[profile_pb2.Sample]) -> None:
        """Write samples."""
        rest = iter(samples)
        while portion := list(islice(rest, _SAMPLES_AT_ONCE)):
            self._write(profile_pb2.Profile(sample=portion))

    def finished(self, tables: profile_pb2.Profile, header: Header, types: Sequence[tuple[str, str]]) -> bytes:
        """Return the file.

        Args:
            tables: functions and locations, by strings of the table.
            header: what the profile says of itself.
            types: name and unit of each value of a sample; the last one is shown where nothing is asked for.
        """
        found = [profile_pb2.ValueType(type=self.strings[name], unit=self.strings[unit]) for name, unit in types]
        tables.sample_type.extend(found)
        tables.default_sample_type = found[-1].type
        tables.time_nanos = int(header.started_at * 1e9)
        tables.duration_nanos = max(0, int((header.ended_at - header.started_at) * 1e9))
        tables.comment.extend(self.strings[visible(note)] for note in _notes(header))
        tables.string_table.extend(self.strings)
        self._write(tables)
        return b"".join([*self._parts, self._packer.flush()])

    def add_function(
        self, tables: profile_pb2.Profile, number: int, name: str, *, file: str = "", first_line: int = 0
    ) -> None:
        """Add a function to the tables; its number is what locations call it."""
        # Without a system_name pprof demangles nothing: it takes <module> for the arguments of a template of C++.
        index, file_index = self.strings[name], self.strings[file]
        row = profile_pb2.Function(id=number, name=index, filename=file_index, start_line=first_line)
        tables.function.append(row)

    def _write(self, part: profile_pb2.Profile) -> None:
        # Repeated fields of protobuf messages that follow each other are appended: the parts are one profile.
        self._parts.append(self._packer.compress(part.SerializeToString()))


def add_location(tables: profile_pb2.Profile, number: int, function: int, line: int) -> None:
    """Add a location to the tables; its number is what samples call it."""
    lines = [profile_pb2.Line(function_id=function, line=line)]
    tables.location.append(profile_pb2.Location(id=number, line=lines))


def _notes(header: Header) -> list[str]:
    return [
        f"target: {command_line(header)}",
        f"collector: {header.collector}, {header.form} form",
        *(f"lost: {reason}: {count}" for reason, count in header.lost.items() if count),
        *(f"caveat: {caveat}" for caveat in header.caveats),
    ]
