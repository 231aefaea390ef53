"""Memory for pprof: the blocks that live, and their bytes, of each traceback; by the names that Go's heaps have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd_api.pprof import profile_pb2

from execd.reports.escape import visible
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.pprof_encoding import Encoding, add_location
from execd.reports.stacks import MAX_DEPTH, TRUNCATED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from execd.model.memory.blocks import Frame
    from execd.model.memory.statistics import Place
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# What stands for the frames that were cut off.
_CUT = (TRUNCATED, 0)
_TYPES = [("inuse_objects", "count"), ("inuse_space", "bytes")]
# Place and domain, and blocks and bytes.
_Sums = dict[tuple["Place", int], tuple[int, int]]


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return a gzipped pprof profile; tracebacks over MAX_DEPTH have a frame "(frames left out)" at the bottom.

    Raises:
        UsageError: a setting does not fit.
    """
    sums: _Sums = {}
    for one in chosen_blocks(profile, options, memory_options(options)):
        count, size = sums.get((one.frames, one.domain), (0, 0))
        sums[one.frames, one.domain] = count + one.count, size + one.size
    encoding = Encoding()
    numbers: dict[Frame, int] = {}
    encoding.add(_samples(sums, numbers, encoding.strings["domain"]))
    return encoding.finished(_tables(numbers, encoding), profile.header, _TYPES)


def _samples(sums: _Sums, numbers: dict[Frame, int], domain_key: int) -> Iterator[profile_pb2.Sample]:
    for (place, domain), values in sums.items():
        shown = place if len(place) <= MAX_DEPTH else (_CUT, *place[1 - MAX_DEPTH :])
        path = [numbers.setdefault(frame, len(numbers) + 1) for frame in reversed(shown)]
        label = profile_pb2.Label(key=domain_key, num=domain)
        yield profile_pb2.Sample(location_id=path, value=values, label=[label] if domain else [])


def _tables(numbers: Mapping[Frame, int], encoding: Encoding) -> profile_pb2.Profile:
    """Return a function for each line: tracemalloc knows no functions, and pprof shows those."""
    tables = profile_pb2.Profile()
    for (file, line), number in numbers.items():
        name = visible(f"{file}:{line}" if line else file)
        encoding.add_function(tables, number, name, file=visible(file) if line else "", first_line=line)
        add_location(tables, number, number, line)
    return tables
