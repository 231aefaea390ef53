"""Reports on lines, functions and callers, held against what `trace` writes for the same counts."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import subprocess
import tempfile
import trace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from execd.errors import UsageError
from execd.model.merge import merge
from execd.model.profile import Function
from execd.reports import render, render_files
from line_profiles import Sources, call_profile, line_count, line_profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.model.profile import Profile
    from execd.reports import ReportOptions
    from interpreters import Interpreter

TEXTS = {
    "app.py": b'"""Doc."""\nimport os\n\n\ndef f(x):\n\tif x:\n\t\treturn 1\n\treturn  2  #pragma NO COVER\n\n\nf(1)\n',
    "pack/__init__.py": b"x = 1",
    "pack/tabs.py": b"def g():\n    a\t=\t1\n\n    return a\n\x0c\ndef h():\n    return 2\n",
    "pack/latin.py": b"# coding: latin-1\nx = '\xe9'\nif x:\n    y = 1\nelse:\n    y = 2\n",
    "pack/bom.py": b"\xef\xbb\xbfx = 'bom'\r\ny = 2\r\n",
}
FUNCTIONS = (
    Function("main", "main", "/srv/app.py", 1),
    Function("run", "Server.run", "/srv/app.py", 9),
    Function("inner", "Server.run.<locals>.inner", "/srv/app.py", 11),
    Function("deep", "Outer.Inner.deep", "/srv/lib/deep.py", 3),
    Function("<listcomp>", "main.<locals>.<listcomp>", "/srv/lib/list.py", 4),
    Function("local", "main.<locals>.Local.local", "/srv/lib/list.py", 5),
)
NAMES = [
    ("/srv/app.py", "app", "Server.run"),
    ("/srv/app.py", "app", "inner"),
    ("/srv/app.py", "app", "main"),
    ("/srv/lib/deep.py", "deep", "Inner.deep"),
    ("/srv/lib/list.py", "list", "<listcomp>"),
    ("/srv/lib/list.py", "list", "Local.local"),
]
CALLS = [(0, 1), (1, 2), (1, 3), (3, 4), (0, 5), (5, 0)]


class Program:
    """A program's files, what ran in them, and the profile of that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources = Sources()
        self.counts: dict[tuple[str, int], int] = {}
        files = []
        dice = random.Random(4)  # noqa: S311 - the same at every run
        for name, data in TEXTS.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            runnable = trace._find_executable_linenos(str(path))  # type: ignore[attr-defined]  # noqa: SLF001 - the oracle
            ran = [line for line in sorted(runnable) if line and dice.random() < 0.6] or [1]
            self.counts |= {(str(path), line): dice.choice((1, 7, 99_999, 123_456_789)) for line in ran}
            files.append(self.sources.add(path, data, [line for line in runnable if line]))
        self.counts["<string>", 3] = 5
        self.profile = line_profile(self.counts, files=files, search_path=["", str(folder)])

    def render(self, form: str, **settings: Any) -> bytes:
        """Return a report."""
        return render(self.profile, form, self.sources.options(**settings))

    def files(self, **settings: Any) -> dict[str, bytes]:
        """Return the listings by name."""
        return dict(render_files(self.profile, "cover", self.sources.options(**settings)))


@pytest.fixture
def folder(interpreter: Interpreter) -> Iterator[Path]:
    """A folder that an interpreter sees."""
    with tempfile.TemporaryDirectory(dir=f"{interpreter.root}/tmp") as path:
        yield Path(path)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    folder = tmp_path / "program"
    monkeypatch.syspath_prepend(str(folder))
    return Program(folder)


def body(report: bytes, begin: str) -> str:
    """Return a text report from a line on, without what says where it comes from."""
    lines = report.decode().splitlines(keepends=True)
    return "".join(lines[next(index for index, line in enumerate(lines) if line.startswith(begin)) :])


def written_by_trace(folder: Path, **arguments: Any) -> str:
    """What the standard library prints; the listings lie in the folder."""
    results = trace.CoverageResults(
        arguments.get("counts"), calledfuncs=arguments.get("calledfuncs"), callers=arguments.get("callers")
    )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        results.write_results(arguments.get("missing", True), arguments.get("summary", False), str(folder))
    return printed.getvalue()


@pytest.mark.parametrize("missing", [True, False])
def test_listings_are_those_of_trace_to_the_byte(program: Program, tmp_path: Path, *, missing: bool) -> None:
    written_by_trace(tmp_path / "cover", counts=program.counts, missing=missing)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "cover").iterdir()}
    assert len(expected) == len(TEXTS)
    assert program.files(flat=True, missing=missing) == expected


def test_listings_lie_by_package_or_beside_their_sources(program: Program) -> None:
    names = ["app", "pack/__init__", "pack/bom", "pack/latin", "pack/tabs"]
    assert list(program.files()) == [f"{name}.cover" for name in names]
    assert list(program.files(beside=True)) == [f"{program.folder}/{name}.cover" for name in names]


def test_one_listing_is_itself_and_several_stand_below_their_paths(program: Program) -> None:
    one = program.render("cover", file="pack/tabs.py", missing=True)
    assert one == program.files(missing=True)["pack/tabs.cover"]
    several = program.render("cover", missing=True).decode()
    assert several.count("==> ") == len(TEXTS)
    assert f"==> {program.folder}/pack/tabs.py <==\n{one.decode()}" in several


def test_the_summary_is_that_of_trace(program: Program, tmp_path: Path) -> None:
    printed = written_by_trace(tmp_path / "cover", counts=program.counts, summary=True)
    assert printed.startswith("lines   cov%")
    assert program.render("summary").decode() == printed


def test_every_version_reads_the_counts_and_reports_the_same(interpreter: Interpreter, folder: Path) -> None:
    """`python -m trace --report` on our counts file, in each version's own form."""
    command = [*interpreter.argv, "-m", "trace", "--report", "--summary", "--missing"]
    there = Program(folder)
    inside = {
        (interpreter.inside(Path(path)) if path[0] == "/" else path, line): count
        for (path, line), count in there.counts.items()
    }
    profile = line_profile(inside)
    (folder / "counts").write_bytes(render(profile, "trace-counts", there.sources.options()))
    cover = interpreter.inside(folder / "cover")
    done = subprocess.run(
        [*command, "--file", interpreter.inside(folder / "counts"), "--coverdir", cover],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env={**os.environ, "PYTHONPATH": interpreter.inside(folder)},
    )
    sources = Sources()
    files = [
        sources.add(interpreter.inside(folder / name), data, _runnable(interpreter, folder / name))
        for name, data in TEXTS.items()
    ]
    own = line_profile(
        inside, files=files, search_path=[interpreter.inside(folder)], python_version=interpreter.full_version
    )
    assert render(own, "summary", sources.options()).decode() == done.stdout
    expected = {path.name: path.read_bytes() for path in (folder / "cover").iterdir()}
    assert dict(render_files(own, "cover", sources.options(flat=True, missing=True))) == expected


def _runnable(interpreter: Interpreter, path: Path) -> list[int]:
    code = "import sys, trace; print(*[n for n in trace._find_executable_linenos(sys.argv[1]) if n])"
    done = subprocess.run(
        [*interpreter.argv, "-c", code, interpreter.inside(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return [int(line) for line in done.stdout.split()]


def test_functions_are_listed_in_the_wording_of_trace(tmp_path: Path) -> None:
    printed = written_by_trace(tmp_path, calledfuncs=dict.fromkeys(NAMES, 1))
    profile = call_profile(FUNCTIONS, (), collector="functions")
    assert "\n" + body(render(profile, "text", Sources().options()), "functions called:") == printed


def test_callers_are_laid_out_as_by_trace_and_a_thread_s_first_function_has_none(tmp_path: Path) -> None:
    order = {function: place for place, function in enumerate((1, 2, 0, 3, 4, 5))}
    pairs = {(NAMES[order[caller]], NAMES[order[callee]]): 1 for caller, callee in CALLS}
    printed = written_by_trace(tmp_path, callers=pairs)
    profile = call_profile(FUNCTIONS, CALLS)
    assert "\n" + body(render(profile, "text", Sources().options()), "calling relationships:") == printed


def test_what_trace_keeps_in_its_file_comes_out_of_every_collector(program: Program) -> None:
    assert pickle.loads(program.render("trace-counts")) == (program.counts, {}, {})  # noqa: S301 - our own
    functions = call_profile(FUNCTIONS, (), collector="functions")
    assert pickle.loads(render(functions, "trace-counts", Sources().options()))[1] == dict.fromkeys(NAMES, 1)  # noqa: S301
    calls = render(call_profile(FUNCTIONS, CALLS), "trace-counts", Sources().options())
    assert len(pickle.loads(calls)[2]) == len(CALLS)  # noqa: S301 - our own


def test_the_text_report_names_the_files_that_ran_most_first(program: Program) -> None:
    lines = body(program.render("text"), "       hits").splitlines()[1:]
    hits = [int(line.split()[0].replace(",", "")) for line in lines]
    assert hits == sorted(hits, reverse=True)
    assert sum(hits) == sum(count for (path, _), count in program.counts.items() if path != "<string>")


def test_the_source_of_one_file_shows_hits_and_what_did_not_run(program: Program) -> None:
    path = str(program.folder / "app.py")
    lines = body(program.render("source", file="app"), "Lines:").splitlines()[2:]
    assert len(lines) == line_count(TEXTS["app.py"])
    for number, line in enumerate(lines, 1):
        mark, shown = line[:8].strip(), int(line[8:15])
        assert shown == number
        assert mark in (str(program.counts.get((path, number), "")), ">>>>>>")
    with pytest.raises(UsageError, match="one file"):
        program.render("source")


def test_the_json_report_has_every_line_that_ran_or_did_not(program: Program) -> None:
    report = json.loads(program.render("json"))
    assert report["totals"]["hits"] == sum(n for (path, _), n in program.counts.items() if path != "<string>")
    for file in report["files"]:
        assert file["lines"] == len(file["hits"]) + len(file["missed"])
        assert {(file["path"], line): count for line, count in file["hits"]}.items() <= program.counts.items()


def test_files_are_chosen_by_path_module_and_ignores(program: Program) -> None:
    def shown(**settings: Any) -> list[str]:
        return [file["module"] for file in json.loads(program.render("json", **settings))["files"]]

    everything = ["app", "pack.__init__", "pack.bom", "pack.latin", "pack.tabs"]
    assert shown() == everything
    assert shown(file="pack.bom") == ["pack.bom"]
    assert shown(file=f"{program.folder}/app.py") == ["app"]
    assert shown(ignore_modules=["pack"]) == ["app"]
    assert shown(ignore_modules=["pack.bom,pack.latin", "pac"]) == ["app", "pack.__init__", "pack.tabs"]
    assert shown(ignore_dirs=[f"/nowhere:{program.folder}/pack/"]) == ["app"]
    for wanted in ("nonesuch.py", "ack.py"):
        with pytest.raises(UsageError, match="ran"):
            shown(file=wanted)


@pytest.mark.parametrize(
    "settings", [{"missing": 1}, {"file": 3}, {"ignore_modules": "os"}, {"ignore_dirs": [1]}, {"flat": "yes"}]
)
def test_a_setting_of_another_type_is_a_usage_error(program: Program, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the setting"):
        program.render("text", **settings)


def test_the_prefixes_of_the_target_stand_in_the_folders_that_are_ignored() -> None:
    profile = line_profile({("/usr/lib/a.py", 1): 1, ("/opt/exec/b.py", 1): 1, ("/usrs/c.py", 1): 1})
    report = json.loads(render(profile, "json", Sources().options(ignore_dirs=["$prefix:$exec_prefix"])))
    assert [file["path"] for file in report["files"]] == ["/usrs/c.py"]


def test_a_file_without_a_text_is_counted_and_said(tmp_path: Path) -> None:
    sources = Sources()
    file = sources.add("/srv/gone.py", b"", [1, 2, 3], "was not read")
    sources.texts.clear()
    profile = line_profile({("/srv/gone.py", 2): 4}, files=[file])
    assert "in the store" in render(profile, "text", sources.options()).decode()
    assert render(profile, "summary", sources.options()).decode().splitlines()[1].split()[:2] == ["3", "33%"]
    assert dict(render_files(profile, "cover", sources.options())) == {}
    for form in ("cover", "source"):
        with pytest.raises(UsageError, match="no text"):
            render(profile, form, sources.options())
    for form in ("json", "lcov", "cobertura", "coverage", "trace-counts"):
        assert render(profile, form, sources.options())
    assert not list(tmp_path.iterdir())


def test_lines_that_came_and_lines_that_ran_more_are_told_with_their_source(program: Program) -> None:
    path = str(program.folder / "app.py")
    earlier = line_profile({(path, 2): 1, (path, 5): 3})
    later = line_profile({(path, 2): 1, (path, 5): 9, (path, 11): 2}, files=program.profile.files)
    report = render(later, "text", program.sources.options(), earlier).decode()
    rows = body(report.encode(), "change").splitlines()[1:]
    assert rows[0].split()[:4] == ["new", "2", "+2", "f(1)"]
    assert rows[1].split()[:5] == ["more", "9", "+6", "def", "f(x):"]
    assert [row.rpartition("/")[2] for row in rows] == ["app.py:11", "app.py:5"]
    assert len(rows) == 2
    changes = json.loads(render(later, "json", program.sources.options(), earlier))["changes"]
    assert [(one["kind"], one["line"], one["text"], one["delta"]) for one in changes] == [
        ("new", 11, "f(1)", 2),
        ("more", 5, "def f(x):", 6),
    ]


def test_lines_of_two_sessions_compare_per_second() -> None:
    earlier = line_profile({("/a.py", 1): 10, ("/a.py", 2): 1}, ended_at=1_700_000_001.0)
    later = line_profile({("/a.py", 1): 10}, session="s2")
    changes = json.loads(render(later, "json", Sources().options(), earlier))
    assert changes["per_second"] is True
    assert [(one["kind"], one["line"], one["delta"]) for one in changes["changes"]] == [
        ("gone", 2, -1),
        ("less", 1, -9),
    ]


def test_lines_of_a_sum_are_of_the_seconds_in_which_any_part_was_recorded() -> None:
    spans = ((0.0, 10.0), (500.0, 510.0))
    start, counts = 1_700_000_000.0, {("/a.py", 1): 10}
    parts = [
        line_profile(counts, session=f"s{n}", started_at=start + begin, ended_at=start + end)
        for n, (begin, end) in enumerate(spans)
    ]
    earlier = line_profile(counts, session="s9", started_at=start, ended_at=start + 1.0)
    changes = json.loads(render(merge(parts), "json", Sources().options(), earlier))
    assert [(one["line"], one["delta"]) for one in changes["changes"]] == [(1, 1 - 10)]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("collector", ["functions", "callers"])
def test_functions_and_calls_that_came_are_told(collector: str, form: str) -> None:
    def made(functions: int, calls: int) -> Profile:
        return call_profile(FUNCTIONS[:functions], CALLS[:calls], collector=collector)

    options: ReportOptions = Sources().options()
    changed = render(made(6, 6), form, options, made(5, 4)).decode()
    assert "Local.local" in changed
    assert "Inner.deep" not in changed
    assert "new" in changed
    assert "Local.local" not in render(made(6, 6), form, options, made(6, 6)).decode()


def test_what_a_target_says_does_not_drive_a_terminal() -> None:
    evil = "/srv/\x1b[31m\n==> x.py"
    sources = Sources()
    file = sources.add(evil, b"x = '\x1b[2J'\n", [1])
    profile = line_profile({(evil, 1): 1}, files=[file])
    for form in ("text", "summary", "source", "lcov", "cobertura"):
        assert b"\x1b" not in render(profile, form, sources.options())
    assert [name for name, _ in render_files(profile, "cover", sources.options())] == ["srv/\\x1b[31m\\x0a==> x.cover"]


@pytest.mark.parametrize("path", ["../../../etc/x.py", "/../../x.py", "..", "/", "./.py", "a/\0/b.py"])
def test_no_listing_leaves_its_folder(path: str) -> None:
    sources = Sources()
    profile = line_profile({(path, 1): 1}, files=[sources.add(path, b"x\n", [1])])
    for name, _ in render_files(profile, "cover", sources.options()):
        assert not name.startswith("/")
        assert ".." not in Path(name).parts
        assert name.isprintable()


def test_listings_of_one_name_do_not_overwrite_each_other() -> None:
    sources = Sources()
    paths = ["/a/lib.py", "/b/lib.py"]
    files = [sources.add(path, b"x\n", [1]) for path in paths]
    profile = line_profile(dict.fromkeys([(path, 1) for path in paths], 1), files=files, search_path=["/a", "/b"])
    assert [name for name, _ in render_files(profile, "cover", sources.options())] == ["lib.cover", "lib~2.cover"]
