"""Counts files of `trace`, read without unpickling: those of every version, and hostile ones."""

from __future__ import annotations

import pickle
import subprocess
import tempfile
import time
import trace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.errors import UsageError
from execd.imports import pickle_reader, trace_counts
from execd.imports.trace_counts import TraceCounts, profiles, read
from execd.model.profile import check
from execd.reports import render
from line_profiles import Sources

if TYPE_CHECKING:
    from interpreters import Interpreter

PROGRAM = "def f(n):\n    return n and f(n - 1)\n\n\nfor one in range(70000):\n    pass\nf(3)\n"
NAMED = ("/a.py", "a", "f")
COUNTS: dict[Any, Any] = {("/a.py", 1): 2, ("/é.py", 7): 1 << 40}
FUNCTIONS = {NAMED: 1, ("/b.py", "b", "C.m"): 1}
CALLERS = {(NAMED, ("/b.py", "b", "C.m")): 1}


@pytest.mark.parametrize("mode", ["--count", "--listfuncs", "--trackcalls"])
def test_what_trace_has_written_is_read(local_interpreter: Interpreter, mode: str) -> None:
    assert_read(local_interpreter, mode)


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["--count", "--listfuncs", "--trackcalls"])
def test_what_trace_of_each_version_has_written_is_read(interpreter: Interpreter, mode: str) -> None:
    assert_read(interpreter, mode)


def assert_read(interpreter: Interpreter, mode: str) -> None:
    """A counts file comes out of the reader as out of an unpickler."""
    with tempfile.TemporaryDirectory(dir=f"{interpreter.root}/tmp") as folder:
        program, counts = Path(folder) / "program.py", Path(folder) / "counts"
        program.write_text(PROGRAM)
        flags = [mode, "--coverdir", interpreter.inside(Path(folder) / "cover")]
        subprocess.run(
            [
                *[*interpreter.argv, "-m", "trace", *flags, "--ignore-dir=/usr:/root", "--file"],
                *[interpreter.inside(counts), interpreter.inside(program)],
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        data = counts.read_bytes()
    found = read(data)
    expected = pickle.loads(data)  # noqa: S301 - our own
    assert (dict(found.counts), dict.fromkeys(found.functions, 1), dict.fromkeys(found.callers, 1)) == expected
    assert any(expected)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read(protocol: int) -> None:
    data = pickle.dumps((COUNTS, FUNCTIONS, CALLERS), protocol)
    assert read(data) == TraceCounts(COUNTS, frozenset(FUNCTIONS), frozenset(CALLERS))


def test_what_is_read_is_written_again_and_merges_in_trace(tmp_path: Path) -> None:
    made = profiles(read(pickle.dumps((COUNTS, FUNCTIONS, CALLERS), 1)), header())
    assert [check(profile).header.collector for profile in made] == ["lines", "functions", "callers"]
    files = [render(profile, "trace-counts", Sources().options()) for profile in made]
    merged = trace.CoverageResults()
    for index, data in enumerate(files):
        path = tmp_path / str(index)
        path.write_bytes(data)
        merged.update(trace.CoverageResults(infile=str(path)))
    assert (merged.counts, merged.calledfuncs, merged.callers) == (COUNTS, FUNCTIONS, CALLERS)


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def nested(depth: int) -> bytes:
    return b"(}(" + b")" + b"\x85" * depth + b"K\x01u}}t."


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x04",
        b"(t.",
        b"garbage",
        pickle.dumps(({}, {})),
        pickle.dumps(([], {}, {})),
        pickle.dumps((Evil(), {}, {})),
        pickle.dumps(({("a", 1): Evil()}, {}, {}), 1),
        pickle.dumps(({("a", -1): 1}, {}, {}), 1),
        pickle.dumps(({("a", 1): -1}, {}, {}), 1),
        pickle.dumps(({("a", 1): True}, {}, {}), 1),
        pickle.dumps(({("a", 1): 1 << 70}, {}, {}), 1),
        pickle.dumps(({("a", "b"): 1}, {}, {}), 1),
        pickle.dumps(({"ab": 1}, {}, {}), 1),
        pickle.dumps(({("a" * 5000, 1): 1}, {}, {}), 1),
        pickle.dumps(({}, {("a", "b"): 1}, {}), 1),
        pickle.dumps(({}, {}, {(NAMED,): 1}), 1),
        pickle.dumps(({}, {}, {NAMED: 1}), 1),
        b"cos\nsystem\n(S'true'\ntR.",
        b"(}}}Nt.t.",
        b"K\x01K\x02s.",
        b"}K\x01s.",
        b"(r\xff\xff\xff\xff.",
        b"j\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"I" + b"9" * 10_000 + b"\n.",
        nested(100_000),
    ],
)
def test_a_file_that_is_none_is_a_usage_error_and_runs_nothing(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no counts file"):
        read(data)
    assert capsys.readouterr().out == ""


def test_a_tuple_of_itself_many_times_over_takes_no_time() -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match="a place"):
        read(b"(}()" + b"q\x00h\x00\x86" * 200 + b"K\x01u}}t.")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("filler", [b"}", b"K\x01", b"(", b"(}q\x00" + b"h\x00" * 1000, b")\x85"])
def test_what_builds_more_than_such_a_file_has_is_refused(monkeypatch: pytest.MonkeyPatch, filler: bytes) -> None:
    small = replace(trace_counts._GRAMMAR, most_values=6000)  # noqa: SLF001 - the limit in use takes seconds to reach
    monkeypatch.setattr(trace_counts, "_GRAMMAR", small)
    with pytest.raises(UsageError, match="more than"):
        read(filler * 10_000 + b".")


def test_files_over_the_limits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(({("a", line): 1 for line in range(1, 12)}, {}, {}), 1)
    monkeypatch.setattr(trace_counts, "MAX_ENTRIES", 10)
    with pytest.raises(UsageError, match="over 10 entries"):
        read(data)
    monkeypatch.setattr(pickle_reader, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match="over the limit"):
        read(data)
