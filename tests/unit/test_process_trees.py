"""Reports of process trees: what of it is said once, what each process has, and what each format makes of them."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import execctl
import pytest
from call_trees import Node, header, tree
from execctl.api.reading import read_profile
from execctl.query import ReportQuery
from execd.errors import UsageError
from execd.model.merge import merge
from execd.model.processtree import of_tree
from execd.model.profile import Label, Profile
from execd.model.session import Session, SessionSpec, State
from execd.model.target import Target, TargetKey
from execd.reports import ReportOptions, render
from execd.reports.layout import Layout
from execd.reports.names import program
from execd.reports.widths import width_of
from execd_api.pprof import profile_pb2
from sample_trees import samples

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT_PID = 100
SINCE = "covers the time since the attach"
ROOT = Session(
    "s1",
    "",
    "g1",
    Target(TargetKey("b", ROOT_PID, 9), 1000, ("/usr/bin/python3", "-m", "gunicorn", "app:app"), "", "3.12.1"),
    SessionSpec("calls", children=True),
    "python",
    State.STOPPED,
    1.0,
)


def part(number: int, *caveats: str, calls: int = 3, command: Sequence[str] = ("python3", "work.py")) -> Profile:
    """The profile of the n-th process, of which the 0-th is the root: one function, that took n + 1 ms."""
    pid = ROOT_PID + number
    label = Label(7, "MainThread", pid)
    nodes = [Node(-1, "serve", calls, (number + 1) * 1_000_000, label=label)]
    facts = {"pid": pid, "session": f"s{number + 1}", "profile": f"p{number + 1}", "command_line": tuple(command)}
    return tree(nodes, caveats=(SINCE, *caveats), **facts)


def whole(parts: Sequence[Profile], missing: int = 0) -> Profile:
    return of_tree(merge(parts) if len(parts) > 1 else parts[0], ROOT, parts, missing)


def rendered(parts: Sequence[Profile], form: str = "text", **options: Any) -> bytes:
    return render(whole(parts), form, ReportOptions(**options), None, parts)


def text(parts: Sequence[Profile], **options: Any) -> str:
    return rendered(parts, **options).decode()


def test_the_report_of_a_tree_names_its_root_and_what_each_process_has() -> None:
    lines = text([part(0), part(1), part(2, calls=1200)]).splitlines()
    assert lines[0] == "Tree: /usr/bin/python3 -m gunicorn app:app (PID 100, Python 3.12.1), 3 processes"
    assert lines[1].endswith("calls, python form, session s1")
    place = next(nth for nth, line in enumerate(lines) if line.endswith("process"))
    rows = [line.split() for line in lines[place : place + 4]]
    assert rows[0] == ["self", "ms", "%", "calls", "PID", "process"]
    assert [(row[0], row[-3], row[-2], row[-1]) for row in rows[1:]] == [
        ("3.000", "1,200", "102", "work.py"),
        ("2.000", "3", "101", "work.py"),
        ("1.000", "3", "100", "work.py"),
    ]
    assert "1,206 calls of 1 function, 6.000 ms in 3 threads" in lines
    assert lines[-1] == "next: execctl report s1 --callers --limit serve"


def test_of_many_processes_those_that_have_most_are_shown() -> None:
    lines = text([part(number) for number in range(200)]).splitlines()
    assert lines[0].endswith("200 processes")
    assert [line.split()[-2] for line in lines if line.endswith("work.py")] == [str(299 - nth) for nth in range(10)]
    assert "190 more: --json tells of each" in lines
    assert len(lines) < 30
    assert len(json.loads(rendered([part(number) for number in range(200)], "json"))["processes"]) == 200


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_about_processes_is_wider_than_the_terminal(width: int) -> None:
    long = [part(number, command=("python3", "-m", "service", *("--option" * 9,) * 5)) for number in range(3)]
    for options in ({}, {"per_process": True}):
        for line in text(long, layout=Layout(width), **options).splitlines():
            assert width_of(line) <= width


def test_what_several_processes_say_is_said_once() -> None:
    late = "recorded from {} s after the process's start on"
    parts = [
        part(0, "2 of its descendants are not recorded: ended before"),
        part(1, late.format("0.05"), "odd"),
        part(2, late.format("0.13"), "odd"),
        part(3, late.format("0.08")),
    ]
    missing, *caveats = whole(parts, missing=1).header.caveats
    assert missing.startswith("one of its processes had ended before anything of it was stored: ")
    assert caveats == [
        SINCE,
        "process 100: 2 of its descendants are not recorded: ended before",
        "process 101: recorded from 0.05 s after the process's start on (and the like of 2 others)",
        "2 of the 4 processes: odd",
    ]


def test_a_tree_of_samples_says_that_short_processes_may_be_missing() -> None:
    told = [samples(pid=ROOT_PID + number, session=f"s{number + 1}") for number in range(2)]
    report = " ".join(text(told).split())
    assert "Caveat: descendants are looked for once a second: those that live shorter may be missing" in report
    assert "once a second" not in text([part(0), part(1)])


def test_per_process_has_a_report_of_each_with_what_only_it_says() -> None:
    report = text([part(0), part(1, "odd")], per_process=True)
    titles = [line for line in report.splitlines() if line.startswith("Process ")]
    assert titles == ["Process 100 (s1): work.py", "Process 101 (s2): work.py"]
    first, second = re.split(r"Process \d+ .*\n", report)[1:]
    assert ("3 calls of 1 function, 1.000 ms" in first, "odd" in first) == (True, False)
    assert ("3 calls of 1 function, 2.000 ms" in second, "Caveat: odd" in second) == (True, True)
    assert report.count(SINCE) == 1
    assert "next:" not in report


def test_the_rows_of_the_processes_add_up_to_the_times_of_the_whole() -> None:
    # A call costs 0.1 ms in one process, and in the other more than was recorded there.
    costs = {"python_outside_ns": 0, "c_inside_ns": 0, "c_outside_ns": 0, "uncounted_ns": 0}
    parts = [
        replace(one, header=replace(one.header, extra={**costs, "python_inside_ns": ns}))
        for one, ns in ((part(0), 1e5), (part(1), 1e6), (part(2), 0))
    ]
    document = json.loads(rendered(parts, "json"))
    assert [one["figures"]["self_ns"] for one in document["processes"]] == [700_000, 0, 3_000_000]
    assert document["totals"]["self_ns"] == 3_700_000
    report = text(parts)
    assert "Times: 3.700 ms: 2.300 ms that recording took is taken off the 6.000 ms recorded (38.3%)" in report
    assert [line.split()[0] for line in report.splitlines() if re.search(r" 10[012]  ", line)] == [
        "3.000",
        "0.700",
        "~0",
    ]


def test_per_process_goes_with_per_thread() -> None:
    report = text([part(0), part(1)], per_process=True, per_thread=True)
    found = re.findall(r"^(?:Process|Thread) .*", report, re.MULTILINE)
    assert [line.split()[0] for line in found] == ["Process", "Thread", "Process", "Thread"]


def test_json_has_the_processes_and_of_each_its_functions_where_asked_for() -> None:
    parts = [part(0), part(1, "odd")]
    document = json.loads(rendered(parts, "json"))
    assert document["tree"]["session"] == "s1"
    assert document["totals"]["calls"] == 6
    assert document["processes"][1] == {
        "pid": 101,
        "command_line": ["python3", "work.py"],
        "python_version": "3.11.7",
        "session": "s2",
        "profile": "p2",
        "started_at": 1_700_000_000.0,
        "ended_at": 1_700_000_010.0,
        "caveats": [SINCE, "odd"],
        "lost": {},
        "figures": {"self_ns": 2_000_000, "calls": 3},
    }
    each = json.loads(rendered(parts, "json", per_process=True))
    assert "functions" not in each
    assert [one["functions"][0]["self_ns"] for one in each["processes"]] == [1_000_000, 2_000_000]
    assert "tree" not in json.loads(render(parts[0], "json", ReportOptions()))


def test_collapsed_stacks_begin_with_the_process_where_asked_for() -> None:
    parts = [part(0), part(1, command=("python3", "a;b.py"))]
    assert rendered(parts, "collapsed").decode().splitlines() == ["/srv/app.py:65(serve) 3000"]
    assert rendered(parts, "collapsed", per_process=True).decode().splitlines() == [
        "process 100 (work.py);/srv/app.py:65(serve) 1000",
        "process 101 ('a\\x3bb.py');/srv/app.py:65(serve) 2000",
    ]


def test_pprof_samples_are_labelled_with_their_process() -> None:
    found = profile_pb2.Profile.FromString(gzip.decompress(rendered([part(0), part(1)], "pprof")))
    strings = found.string_table
    labels = [{strings[label.key]: strings[label.str] for label in sample.label} for sample in found.sample]
    assert [one["process"] for one in labels] == ["work.py (100)", "work.py (101)"]


@pytest.mark.parametrize("form", ["pstats", "pprof", "pstats-text"])
def test_a_format_without_processes_refuses_per_process_and_says_what_to_do(form: str) -> None:
    with pytest.raises(UsageError, match="no place for processes") as refused:
        rendered([part(0), part(1)], form, per_process=True)
    assert "--process PID" in refused.value.remedy


def test_per_process_is_refused_of_one_process() -> None:
    with pytest.raises(UsageError, match="one process"):
        render(part(0), "text", ReportOptions(per_process=True))


def test_a_thread_is_looked_for_in_each_process() -> None:
    other = replace(part(1), labels=(Label(9, "worker", ROOT_PID + 1),))
    document = json.loads(rendered([part(0), other], "json", thread="worker", per_process=True))
    assert [one["pid"] for one in document["processes"]] == [ROOT_PID + 1]


@pytest.mark.parametrize(
    ("command_line", "shown"),
    [
        (("/usr/bin/python3.12", "-B", "-X", "dev", "/srv/app.py", "--port", "80"), "app.py --port 80"),
        (("python", "-m", "gunicorn", "app:app"), "gunicorn app:app"),
        (("python", "-c", "print(1)"), "-c 'print(1)'"),
        (("python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(3)"), "multiprocessing.spawn"),
        (("gunicorn: worker [app]",), "'gunicorn: worker [app]'"),
        (("python", "-i"), "-i"),
        (("python",), "python"),
        ((), "(command line unknown)"),
        (("python", "\x1b[2J"), "'\\x1b[2J'"),
    ],
)
def test_a_process_is_called_by_what_it_runs(command_line: tuple[str, ...], shown: str) -> None:
    assert program(header(command_line=command_line)) == shown


class Nobody:
    """Renders nothing: a value needs nobody."""

    def render(self, query: ReportQuery) -> execctl.Rendering:
        """Fail."""
        raise AssertionError(query)


def test_the_value_of_a_tree_tells_of_its_processes() -> None:
    rendering = execctl.Rendering(rendered([part(0), part(1)], "whole"), "p1", (), added=("p2",))
    found = read_profile(rendering, ReportQuery("", "whole"), Nobody())
    assert isinstance(found, execctl.CallProfile)
    assert (found.id, found.totals.calls) == ("s1", 6)
    assert [(one.pid, one.session, one.figures["calls"]) for one in found.processes] == [(100, "s1", 3), (101, "s2", 3)]


def test_a_process_that_came_too_late_for_a_sample_has_its_row() -> None:
    parts = [samples(pid=100, session="s1"), samples((), pid=101, session="s2")]
    sum_ = of_tree(merge(parts), ROOT, parts, 0)
    lines = render(sum_, "text", ReportOptions(), None, parts).decode().splitlines()
    first, second = (line.split() for line in lines if line.endswith("app.py"))
    assert (first[0], first[-4:-1]) == ("100", ["500.000", "200.000", "100"])
    assert second == ["0", "0.0", "0", "0", "101", "app.py"]
