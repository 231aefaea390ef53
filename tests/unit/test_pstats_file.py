"""Files of pstats: what cProfile of any version wrote is reported as pstats reports it, and hostile ones do nothing."""

from __future__ import annotations

import json
import marshal
import random
import re
import struct
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.errors import UsageError
from execd.imports import pstats_file
from execd.imports.files import profiles_of
from execd.imports.pstats_file import profile_of, read
from execd.model.codec import decode, encode
from execd.model.profile import IMPORTED, check
from execd.reports import ReportOptions, View, render

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
TIMEOUT_S = 60
# Prints the file that cProfile writes, and what pstats prints of it.
DUMP = """
import cProfile, io, json, pstats, sys, tempfile

def deep(n):
    return [1] if n == 0 else deep(n - 1) + sorted(deep(n - 2) if n > 1 else [])

def work():
    return deep(9), sum(len(str(n)) for n in range(500)), other(3)

def other(n):
    return other(n - 1) if n else deep(3)

profile = cProfile.Profile()
profile.runcall(work)
with tempfile.NamedTemporaryFile() as file:
    profile.dump_stats(file.name)
    told = [file.read().hex()]
    for view in ("stats", "callers", "callees"):
        text = io.StringIO()
        stats = pstats.Stats(file.name, stream=text).sort_stats("cumulative")
        getattr(stats, "print_" + view)()
        told.append(text.getvalue())
print(json.dumps(told))
"""
F, G, LEN = ("/srv/a.py", 3, "f"), ("/srv/\u00e9.py", 9, "g"), ("~", 0, "<built-in method builtins.len>")
STATS: dict[Any, Any] = {
    F: (1, 3, 0.25, 1.5, {F: (2, 0, 0.125, 0.25), G: (1, 1, 0.125, 1.5)}),
    G: (1, 1, 1.0, 2.5, {}),
    LEN: (1 << 40, 1 << 40, 0.000000001, 0.000000001, {F: (1 << 40, 1 << 40, 0.000000001, 0.000000001)}),
}


def imported(data: bytes) -> Profile:
    """A file as a stored profile, read from the store."""
    (profile,) = profiles_of(data, "", header(form=IMPORTED, session="", pid=0))
    return decode(encode(profile))


def table(printed: str) -> list[str]:
    """The lines of a report from its first table on, without its head."""
    lines = [line.rstrip() for line in printed.splitlines()]
    first = next(place for place, line in enumerate(lines) if "function calls" in line or "Ordered by" in line)
    return [line for line in lines[first:] if line]


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_file_of_a_version_is_reported_as_that_version_does(interpreter: Interpreter) -> None:
    done = subprocess.run(
        [*interpreter.argv, "-I", "-B", "-c", DUMP], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    content, *printed = json.loads(done.stdout)
    profile = imported(bytes.fromhex(content))
    for view, expected in zip((View.FUNCTIONS, View.CALLERS, View.CALLEES), printed, strict=True):
        options = ReportOptions(view=view, sort=("cumulative",))
        found = table(render(profile, "pstats-text", options).decode())
        assert found == table(expected)
        assert len(found) > 8
    assert in_ns(marshal.loads(render(profile, "pstats", ReportOptions()))) == in_ns(  # noqa: S302 - our own
        marshal.loads(bytes.fromhex(content))  # noqa: S302 - our own
    )


def in_ns(stats: dict[Any, Any]) -> list[Any]:
    """Statistics with whole nanoseconds, in their order; a float's last digit depends on how it was made."""
    return [
        (
            key,
            *row[:2],
            *(round(one * 1e9) for one in row[2:4]),
            [(name, in_ns({name: (*part, {})})) for name, part in row[4].items()],
        )
        for key, row in stats.items()
    ]


@pytest.mark.parametrize("version", range(marshal.version + 1))
def test_every_version_of_the_format_is_read(version: int) -> None:
    profile = check(imported(marshal.dumps(STATS, version)))
    assert marshal.loads(render(profile, "pstats", ReportOptions())) == STATS  # noqa: S302 - our own


def test_forms_that_only_older_writers_had_are_read() -> None:
    old = b"{(\x03\x00\x00\x00t\x01\x00\x00\x00ai\x03\x00\x00\x00A\x01\x00\x00\x00f"
    figures = b"(\x05\x00\x00\x00I" + struct.pack("<q", 1) + b"l\x01\x00\x00\x00\x01\x00f\x030.5f\x041.25{00"
    assert read(old + figures) == read(marshal.dumps({("a", 3, "f"): (1, 1, 0.5, 1.25, {})}))


def test_a_file_of_profile_tells_no_times_of_callers() -> None:
    stats = {F: (1, 1, -0.001, 0.0, {G: 1}), G: (1, 1, 0.0, 0.0, {})}
    profile = imported(marshal.dumps(stats))
    assert "its callers have no times" in profile.header.caveats[0]
    assert read(marshal.dumps(stats))[F].callers[G].calls == 1
    assert imported(marshal.dumps(STATS)).header.caveats == ()


def test_a_caller_that_is_no_function_of_the_file_is_shown_as_pstats_does() -> None:
    profile = imported(marshal.dumps({F: (1, 1, 1.0, 1.0, {("/srv/\x1b.py", 1, "gone"): (1, 1, 1.0, 1.0)})}))
    callers = render(profile, "text", ReportOptions(view=View.CALLERS)).decode()
    assert re.search(r"<- gone +/srv/\\x1b\.py:1$", callers, re.MULTILINE)
    callees = render(profile, "text", ReportOptions(view=View.CALLEES)).decode()
    assert "gone" not in callees
    assert json.loads(render(profile, "json", ReportOptions()))["totals"]["calls"] == 1


@pytest.mark.parametrize("form", ["pprof", "collapsed"])
def test_what_needs_stacks_is_refused(form: str) -> None:
    with pytest.raises(UsageError, match="has no stacks"):
        render(imported(marshal.dumps(STATS)), form, ReportOptions())


def test_files_compare_by_their_figures() -> None:
    earlier, later = (imported(marshal.dumps({F: (calls, calls, 1.0, 1.0, {})})) for calls in (2, 5))
    text = render(later, "text", ReportOptions(), earlier=earlier).decode()
    assert "the figures as they are" in text
    assert "Functions: 0 new, 0 gone, 1 more, 0 less" in text
    assert text.splitlines()[-1].split() == ["more", "0", "0", "5", "+3", "f", "/srv/a.py:3"]
    recorded = replace(earlier, header=replace(earlier.header, form="python", session="s1"))
    assert "figures as they are" in render(later, "text", ReportOptions(), earlier=recorded).decode()


def bomb(depth: int) -> bytes:
    """Tuples of two references to the one before: each is cheap to name, and endless to hash."""
    return b"{" + b"\xa9\x02N" * depth + b"N" * (depth + 1) + b"0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{0",
        b"N",
        b"{0" + b"x",
        marshal.dumps(()),
        marshal.dumps({1: 2}),
        marshal.dumps({F: (1, 1, 0.0, 0.0)}),
        marshal.dumps({F: (1, 1, 0.0, 0.0, [])}),
        marshal.dumps({F: (-1, 1, 0.0, 0.0, {})}),
        marshal.dumps({F: (1, 1 << 63, 0.0, 0.0, {})}),
        marshal.dumps({F: (1, 1 << 200, 0.0, 0.0, {})}),
        marshal.dumps({F: (1, 1, float("nan"), 0.0, {})}),
        marshal.dumps({F: (1, 1, 0.0, 1e300, {})}),
        marshal.dumps({F: (1, 1, 0.0, 1 << 70, {})}),
        marshal.dumps({F: (1, 1, 0.0, True, {})}),
        marshal.dumps({F: (1, 1, 0.0, 0.0, {G: "1"})}),
        marshal.dumps({("a", -1, "f"): (1, 1, 0.0, 0.0, {})}),
        marshal.dumps({("a" * 5000, 1, "f"): (1, 1, 0.0, 0.0, {})}),
        marshal.dumps({("a", 1, "f" * 50_000): (1, 1, 0.0, 0.0, {})}),
        marshal.dumps({(b"a", 1, "f"): (1, 1, 0.0, 0.0, {})}),
        marshal.dumps({compile("1", "f", "eval"): 1}),
        b"\xfbr\x00\x00\x00\x00N0",
        b"{r\x05\x00\x00\x00N0",
        b"{r\xff\xff\xff\xffN0",
        b"{(\xff\xff\xff\x7fN0",
        b"{(\xff\xff\xff\xffN0",
        b"{u\xff\xff\xff\xffN0",
        b"{u\x02\x00\x00\x00\xff\xffN0",
        b"{l\x00\x00\x00\x80N0",
        b"{f\x03abcN0",
        b"{f\x030.",
        b"{" * 100_000,
        b"{(\x01\x00\x00\x00" * 1000,
        bomb(6),
        bomb(50_000),
    ],
)
def test_what_is_no_such_file_is_refused_soon(data: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match="no file of pstats"):
        read(data)
    assert time.monotonic() - began < 5


def test_a_file_that_is_cut_off_anywhere_is_refused() -> None:
    data = marshal.dumps(STATS)
    for size in range(len(data)):
        with pytest.raises(UsageError):
            read(data[:size])


def test_files_with_wrong_bytes_are_read_or_refused() -> None:
    chance, data = random.Random(5), marshal.dumps(STATS)  # noqa: S311 - the same each time
    refused = 0
    for _ in range(3000):
        wrong = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            wrong[chance.randrange(len(wrong))] = chance.randrange(256)
        try:
            check(profile_of(read(bytes(wrong)), header()))
        except UsageError:
            refused += 1
    assert 1000 < refused < 3000


def test_one_dictionary_of_callers_for_all_functions_is_counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pstats_file, "MAX_ROWS", 5000)
    callers = {("c", line, "c"): (1, 1, 0.0, 0.0) for line in range(1000)}
    assert len(read(marshal.dumps({("a", 1, "f"): (1, 1, 0.0, 0.0, callers)}))) == 1
    with pytest.raises(UsageError, match="over 5000"):
        read(marshal.dumps({("a", line, "f"): (1, 1, 0.0, 0.0, callers) for line in range(10)}))
    with pytest.raises(UsageError, match="more than such a file"):
        read(marshal.dumps({("a", line, "f"): (1, 1, 0.0, 0.0, {}) for line in range(9000)}))
