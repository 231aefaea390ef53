"""Files that the standard library's tools of several versions wrote: reported as they print, exported as they were."""

from __future__ import annotations

import json
import marshal
import pickle
import subprocess
from typing import TYPE_CHECKING

import pytest
from call_trees import header
from execd.errors import UsageError
from execd.imports.files import profiles_of
from execd.model.codec import decode, encode
from execd.model.profile import IMPORTED
from execd.reports import FORMATS, ReportOptions, render

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
TIMEOUT_S = 60
# Prints, for each kind of file, its content and what its own module prints of it.
DUMP = """
import contextlib, cProfile, io, json, os, pstats, sys, tempfile, trace, tracemalloc

WORK = '''
kept = []

def leaf(n):
    return str(n) * n

def work(n):
    kept.append(leaf(n))
    return work(n - 1) if n else sorted(kept)
'''

def content(name):
    with open(name, "rb") as file:
        return file.read().hex()

def printed(call, *arguments):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        call(*arguments)
    return text.getvalue()

def profiled(name):
    profile = cProfile.Profile()
    profile.runcall(work, 30)
    profile.dump_stats(name)
    return printed(lambda: pstats.Stats(name).sort_stats("cumulative").print_stats())

def counted(name):
    told = [trace.Trace(trace=0, **{mode: 1}) for mode in ("count", "countfuncs", "countcallers")]
    for one in told:
        one.runfunc(work, 3)
    results = [one.results() for one in told]
    both = trace.CoverageResults(results[0].counts, results[1].calledfuncs, None, results[2].callers, name)
    return printed(both.write_results, False, False, os.path.dirname(name))

def traced(name):
    tracemalloc.start(3)
    work(40)
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    snapshot.dump(name)
    return "\\n".join(map(str, snapshot.statistics("lineno")))

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "work.py")
    with open(path, "w") as file:
        file.write(WORK)
    loaded = {"__file__": path, "__name__": "work"}
    exec(compile(WORK, path, "exec"), loaded)
    work = loaded["work"]
    name = os.path.join(folder, "file")
    print(json.dumps({make.__name__: [make(name), content(name)] for make in (profiled, counted, traced)}))
"""


@pytest.fixture(scope="module", params=VERSIONS)
def made(request: pytest.FixtureRequest, interpreters: dict[str, Interpreter]) -> dict[str, tuple[str, bytes]]:
    """What each tool of a version printed, and the file that it wrote."""
    argv = interpreters[request.param].argv
    done = subprocess.run(
        [*argv, "-I", "-B", "-c", DUMP], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    return {name: (printed, bytes.fromhex(content)) for name, (printed, content) in json.loads(done.stdout).items()}


def imported(data: bytes) -> list[Profile]:
    """A file as stored profiles, read from the store."""
    found = profiles_of(data, "", header(form=IMPORTED, session="", pid=0))
    return [decode(encode(profile)) for profile in found]


def reported(profile: Profile, **options: object) -> list[str]:
    """The text report without its head, and without empty lines."""
    text = render(profile, "text", ReportOptions(**options)).decode()  # type: ignore[arg-type]
    return lines_of(text.partition("\n\n")[2])


def lines_of(printed: str) -> list[str]:
    """The lines in which something is."""
    return [line.rstrip() for line in printed.splitlines() if line.strip()]


def test_calls(made: dict[str, tuple[str, bytes]]) -> None:
    printed, data = made["profiled"]
    (profile,) = imported(data)
    # Above the table pstats has the file's name and date.
    options = ReportOptions(sort=("cumulative",))
    assert lines_of(render(profile, "pstats-text", options).decode())[1:] == lines_of(printed)[1:]
    found, own = (marshal.loads(one) for one in (render(profile, "pstats", ReportOptions()), data))  # noqa: S302 - our own
    assert [(key, row[:2], list(row[4])) for key, row in found.items()] == [
        (key, row[:2], list(row[4])) for key, row in own.items()
    ]


def test_counts_functions_and_callers(made: dict[str, tuple[str, bytes]]) -> None:
    printed, data = made["counted"]
    lines, functions, callers = imported(data)
    assert "no lines but those that ran" in lines.header.caveats[0]
    assert functions.header.caveats == callers.header.caveats == ()
    relations = "calling relationships:"
    called, _, relationships = printed.partition(relations)
    assert reported(functions) == lines_of(called)
    assert reported(callers) == lines_of(relations + relationships)
    found = [pickle.loads(render(one, "trace-counts", ReportOptions())) for one in (lines, functions, callers)]  # noqa: S301 - our own
    own = pickle.loads(data)  # noqa: S301 - our own
    assert tuple(found[place][place] for place in range(3)) == own
    assert all(own)


def test_memory(made: dict[str, tuple[str, bytes]]) -> None:
    printed, data = made["traced"]
    (profile,) = imported(data)
    statistics = printed.splitlines()
    found = reported(profile, settings={"by": "lineno"}, limits=(str(len(statistics)),))
    assert [line for line in found if line in statistics] == statistics
    assert len(statistics) > 2
    traces = [sorted(own_traces(one)) for one in (render(profile, "tracemalloc", ReportOptions()), data)]
    assert traces[0] == traces[1]


def test_every_format_is_made_or_refused_in_words(made: dict[str, tuple[str, bytes]]) -> None:
    refused = set()
    for _, data in made.values():
        for profile in imported(data):
            for form, renderer in FORMATS[profile.header.collector].items():
                try:
                    assert render(profile, form, ReportOptions()) is not None
                    if renderer.compare:
                        assert render(profile, form, ReportOptions(), earlier=profile)
                except UsageError:
                    refused.add((profile.header.collector, form))
    assert refused == {("calls", "pprof"), ("calls", "collapsed"), ("lines", "source"), ("lines", "cover")}


def own_traces(data: bytes) -> list[tuple[object, ...]]:
    """The traces of a snapshot file."""
    traces: list[tuple[object, ...]] = pickle.loads(data).traces._traces  # noqa: S301, SLF001 - our own
    return traces
