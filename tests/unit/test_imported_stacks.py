"""Collapsed stacks and profiles of pprof: read, reported, written again as they came; hostile ones are refused."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header, random_tree
from execd.errors import UsageError
from execd.imports import pprof_file
from execd.imports.files import profiles_of
from execd.model.merge import merge
from execd.model.profile import check
from execd.reports import ReportOptions, render
from execd.reports.layout import Layout
from execd_api.pprof import profile_pb2 as pb

if TYPE_CHECKING:
    from execd.model.profile import Profile

STACKS = rb"""main;/srv/a.py:3(f);sleep 7
main;/srv/a.py:3(f) 3

main;<module>;caf\xc3\xa9 2
main;a\x20b\x3bc 1
main;/srv/a.py:3(f);sleep;/srv/a.py:3(f) 4
""".replace(rb"\xc3\xa9", "é".encode())


def read(data: bytes, form: str = "", **options: object) -> Profile:
    (profile,) = profiles_of(data, form, header(options=options))
    return check(profile)


def lines(profile: Profile) -> list[bytes]:
    return sorted(render(profile, "collapsed", ReportOptions()).splitlines())


def rows(profile: Profile, **options: Any) -> list[list[str]]:
    """The lines of the table in words, without bars."""
    options["layout"] = Layout(has_header=False, is_ascii=True)
    lines = render(profile, "text", ReportOptions(**options)).decode().splitlines()[1:]
    return [[word for word in line.split() if word.strip("#")] for line in lines]


def test_stacks_are_told_by_their_content_and_counted_as_samples() -> None:
    profile = read(STACKS)
    assert (profile.header.collector, sum(profile.column("samples"))) == ("samples", 17)
    assert rows(profile, sort=("cumulative",)) == [
        ["100.0", "0", "17", "main"],
        ["82.4", "7", "14", "f", "/srv/a.py:3"],
        ["64.7", "7", "11", "sleep"],
        ["11.8", "0", "2", "<module>"],
        ["11.8", "2", "2", "café"],
        ["5.9", "1", "1", "a", "b;c"],
    ]
    assert rows(profile) == rows(profile, sort=("time",))
    assert "17 samples" in render(profile, "text", ReportOptions()).decode()


def test_what_was_imported_is_written_as_it_came() -> None:
    profile = read(STACKS)
    assert lines(profile) == sorted(line for line in STACKS.splitlines() if line)
    again = read(render(profile, "pprof", ReportOptions()))
    assert lines(again) == lines(profile)
    assert render(again, "pprof", ReportOptions()) == render(profile, "pprof", ReportOptions())


def test_a_table_is_ordered_and_cut_as_asked() -> None:
    profile = read(STACKS)
    assert [row[-1] for row in rows(profile, sort=("time",), limits=("2",))][:2] == ["sleep", "/srv/a.py:3"]
    assert rows(profile, sort=("name",), reverse=True, limits=("a.py|sleep",))[0][-1] == "sleep"
    document = json.loads(render(profile, "json", ReportOptions(limits=("1",))))
    assert (document["report"], document["measures"], document["totals"]) == ("samples", ["samples"], {"samples": 17})
    assert document["functions"] == [
        {"file": "", "line": 0, "name": "main", "self": {"samples": 0}, "total": {"samples": 17}}
    ]
    for options, why in (({"sort": ("calls",)}, "not sorted by"), ({"settings": {"view": "gil"}}, "have one view")):
        with pytest.raises(UsageError, match=why):
            rows(profile, **options)


@pytest.mark.parametrize(("unit", "ns"), [("ns", 1), ("us", 10**3), ("ms", 10**6), ("s", 10**9)])
def test_a_time_is_told_by_its_unit(unit: str, ns: int) -> None:
    profile = read(b"a;b 2\na 1.5\n", "collapsed", unit=unit)
    assert sum(profile.column("wall_ns")) == round(3.5 * ns)
    assert profile.header.options == {"unit": unit}
    if ns >= 1000:
        assert lines(profile) == [b"a %d" % round(1.5 * ns / 1000), b"a;b %d" % (2 * ns // 1000)]


def test_sums_of_imported_stacks_are_sums() -> None:
    assert sum(merge([read(STACKS), read(STACKS)]).column("samples")) == 34


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a;b 1\nc;d\n", "line 2: there is no count"),
        (b"a;b 1 2\n", "two counts"),
        (b"a;b 1.5\n", "no whole number"),
        (b"a;b 9999999999999999999\n", "there is no count"),
        (b"a;b -4\n", "there is no count"),
        (b"a;" + b"x" * 5000 + b" 1\n", "more than 4096 characters"),
        (b"\n\n", "holds no counts"),
    ],
)
def test_lines_that_are_no_stacks_are_refused_by_their_number(data: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(data, "collapsed")


def test_counts_and_their_sums_have_64_bits() -> None:
    line = b"a;b 999999999999999999\n"
    assert sum(read(line * 9).column("samples")) == 9 * 999_999_999_999_999_999
    with pytest.raises(UsageError, match="line 10: a sum is out of range"):
        read(line * 10)
    with pytest.raises(UsageError, match="line 1: a count is out of range"):
        read(line, unit="s")


def test_a_unit_is_of_collapsed_stacks_alone() -> None:
    with pytest.raises(UsageError, match="do not count 'hours'"):
        read(STACKS, unit="hours")
    with pytest.raises(UsageError, match="says itself what it counts"):
        read(made(), unit="ms")


STRINGS = ["", "samples", "count", "cpu", "nanoseconds", "f", "/srv/a.py", "g", "alloc_space", "bytes", "calls"]


def made(types: tuple[tuple[int, int], ...] = ((1, 2), (3, 4)), **fields: Any) -> bytes:
    """A file of pprof, gzipped: f, which was called by g in a line where g's own call of f was inlined."""
    usual: dict[str, Any] = {
        "sample_type": [pb.ValueType(type=name, unit=unit) for name, unit in types],
        "sample": [pb.Sample(location_id=[1, 2], value=[3, 30_000_000]), pb.Sample(location_id=[3], value=[1, 5])],
        "location": [
            pb.Location(id=1, line=[pb.Line(function_id=1, line=7)]),
            pb.Location(id=2, line=[pb.Line(function_id=1, line=8), pb.Line(function_id=2, line=9)]),
            pb.Location(id=3),
        ],
        "function": [pb.Function(id=1, name=5, filename=6, start_line=3), pb.Function(id=2, name=7)],
        "string_table": STRINGS,
    }
    return gzip.compress(pb.Profile(**(usual | fields)).SerializeToString())


def test_pprof_gives_samples_and_times_with_inlined_calls_as_calls() -> None:
    profile = read(made())
    assert lines(profile) == [b"0x0 1", b"g;/srv/a.py:3(f);/srv/a.py:3(f) 3"]
    assert (sum(profile.column("samples")), sum(profile.column("cpu_ns"))) == (4, 30_000_005)
    assert rows(profile, sort=("cumulative",))[:2] == [
        ["75.0", "0", "3", "0", "30.000", "g"],
        ["75.0", "3", "3", "30.000", "30.000", "f", "/srv/a.py:3"],
    ]
    assert read(gzip.decompress(made()), "pprof").columns == profile.columns


def test_calls_of_pprof_are_calls_as_execd_wrote_them() -> None:
    tree = random_tree(7)
    export = render(tree, "pprof", ReportOptions())
    again = read(export)
    assert (again.header.collector, {label.pid for label in again.labels}) == ("calls", {4711})
    assert sum(again.column("calls")) == sum(tree.column("calls"))
    assert sum(again.column("self_ns")) == sum(tree.column("self_ns"))
    assert render(read(render(again, "pprof", ReportOptions())), "pprof", ReportOptions()) == render(
        again, "pprof", ReportOptions()
    )
    assert len(lines(again)) == len(lines(tree))
    assert render(again, "text", ReportOptions(per_thread=True))


def test_what_is_left_out_is_told() -> None:
    profile = read(made(types=((1, 2), (8, 9))))
    assert any("left out of the file: alloc_space/bytes" in one for one in profile.header.caveats)
    with pytest.raises(UsageError, match="it counts alloc_space/bytes, f/bytes, and neither calls nor"):
        read(made(types=((8, 9), (5, 9))))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"location": []}, "a location that is not there"),
        ({"function": []}, "a function that is not there"),
        ({"string_table": STRINGS[:5]}, "a text that is not there"),
        ({"string_table": [*STRINGS, "x" * 5000]}, "more than 4096 characters"),
        ({"sample": [pb.Sample(location_id=[1], value=[-1, 2])]}, "negative"),
        ({"sample": [pb.Sample(location_id=[1], value=[1])]}, "as many values"),
        ({"sample": [pb.Sample(location_id=[1], value=[1 << 61, 0])] * 9}, "a sum is out of range"),
        ({"sample": []}, "holds no counts"),
        ({"function": [pb.Function(id=1, name=5, start_line=1 << 40), pb.Function(id=2)]}, "a line is out of range"),
    ],
)
def test_a_file_of_pprof_that_contradicts_itself_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(made(**fields))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x1f\x8b" + bytes(50), "damaged"),
        (made()[:-9], "cut off"),
        (made() + b"more", "more follows"),
        (gzip.compress(b"\x0a\xff\xff\xff\xff\x0f"), "cut off"),
        (gzip.compress(b"\x0b"), "has the type 3"),
        (gzip.compress(b"\x08" + b"\xff" * 11), "out of range"),
        (gzip.compress(b"\x12\x00" * 10), "as many values|it counts nothing"),
    ],
    # gzip's bytes hold the time.
    ids=["no stream", "half a stream", "two streams", "no string", "no field", "no number", "no sample"],
)
def test_bytes_that_are_no_profile_of_pprof_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(data)


def test_a_zip_bomb_takes_neither_time_nor_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pprof_file, "MAX_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(64 << 20))
    tracemalloc.start()
    began = time.thread_time()
    with pytest.raises(UsageError, match="more than 1 MiB"):
        read(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (peak < 8 << 20, time.thread_time() - began < 3) == (True, True)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a" + b";" * (8 << 20) + b" 1\n", "over 65535 frames"),
        (made(sample=[pb.Sample(location_id=[1] * (2 << 20), value=[1, 2])]), "over 1048576 bytes"),
        (gzip.compress(b"\x22\x80\x80\x80\x04" + b"\x22\x00" * (4 << 20)), "over 1048576 bytes"),
    ],
)
def test_one_endless_stack_takes_neither_time_nor_memory(data: bytes, why: str) -> None:
    tracemalloc.start()
    began = time.thread_time()
    with pytest.raises(UsageError, match=why):
        read(data, "collapsed" if data.startswith(b"a") else "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (peak < 64 << 20, time.thread_time() - began < 3) == (True, True)


def test_tables_and_frames_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pprof_file, "_MOST_ROWS", 20)
    with pytest.raises(UsageError, match="over 20 functions"):
        read(made(string_table=STRINGS * 3))
    monkeypatch.setattr(pprof_file, "_MOST_FRAMES_IN_ALL", 3)
    with pytest.raises(UsageError, match="over 3 frames"):
        read(made())
    monkeypatch.setattr("execd.imports.stacks.MAX_NODES", 2)
    with pytest.raises(UsageError, match="more than 2 nodes"):
        read(STACKS)
