"""`execctl dump`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cli.fake_daemon import HOSTILE, error_detail, make_target
from execctl.api.dump import AwaitingTask, Dump, StackFrame, ThreadStack
from execctl.convert import THREAD_STATES, dump, process
from execctl.dumped import dump_record, dump_text
from execctl.query import Layout
from execctl.threadstates import state_words
from execd_api.v1 import targets_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon

FUNCTIONS = (("spin", "/srv/app/work.py"), ("main", "/srv/app/server.py"), ("wait", "/usr/lib/python3.11/threading.py"))
# 2023-11-14 22:13:20 UTC.
TAKEN_AT = 1_700_000_000.0
WAITING = targets_pb2.THREAD_STATE_WAITING
LONG_PATH = f"/srv/{'folder/' * 20}work.py"


def thread(native_id: int, name: str, state: int, *frames: tuple[int, int], **fields: Any) -> targets_pb2.DumpedThread:
    """A thread, its frames as function and line."""
    stack = targets_pb2.DumpedStack(functions=[place for place, _ in frames], lines=[line for _, line in frames])
    return targets_pb2.DumpedThread(
        native_id=native_id,
        name=name,
        state=state,  # type: ignore[arg-type]
        stack=stack,
        **fields,
    )


def response(*threads: targets_pb2.DumpedThread, **fields: Any) -> targets_pb2.DumpResponse:
    """A dump as a daemon tells of it."""
    return targets_pb2.DumpResponse(
        target=make_target(),
        taken_at=TAKEN_AT,
        threads=threads,
        functions=[targets_pb2.DumpedFunction(name=name, file=file) for name, file in FUNCTIONS],
        **fields,
    )


BUSY = thread(4711, "MainThread", targets_pb2.THREAD_STATE_RUNNING_WITH_GIL, (0, 3), (1, 12), thread_id=140)
IDLE = [thread(4712 + at, f"worker-{at}", WAITING, (2, 40), thread_id=141 + at, system_call="futex") for at in range(3)]


def answer(daemon: FakeDaemon, *threads: targets_pb2.DumpedThread, **fields: Any) -> None:
    daemon.script.answers["Targets.Dump"] = response(*threads, **fields)


def test_dump_asks_for_what_it_is_told(run: Run, daemon: FakeDaemon) -> None:
    assert run("dump", "server.py").exit_code == 0
    assert run("dump", "4711", "--never-stop", "--async").exit_code == 0
    plain, told = (request for _, request in daemon.script.asked)
    assert (plain.target, plain.never_stop, plain.tasks) == ("server.py", False, False)
    assert (told.target, told.never_stop, told.tasks) == ("4711", True, True)
    assert daemon.script.calls() == ["Targets.Dump"] * 2


def test_threads_that_are_at_the_same_place_stand_together(run: Run, daemon: FakeDaemon) -> None:
    answer(daemon, BUSY, *IDLE)
    result = run("dump", "4711")
    head, *lines = result.stdout.splitlines()
    assert head == "process 4711: python server.py"
    assert lines[0].startswith("CPython 3.11.7, 4 threads, 2023-11-1")
    assert lines[1:] == [
        "",
        "MainThread (thread 4711, ident 140): running with the GIL",
        "    spin (/srv/app/work.py:3)",
        "    main (/srv/app/server.py:12)",
        "",
        "worker-0 (thread 4712, ident 141),",
        "worker-1 (thread 4713, ident 142),",
        "worker-2 (thread 4714, ident 143): waiting in futex",
        "    wait (/usr/lib/python3.11/threading.py:40)",
    ]
    assert result.stderr == ""


def test_what_is_not_known_is_not_made_up(run: Run, daemon: FakeDaemon) -> None:
    unread = thread(7, "", targets_pb2.THREAD_STATE_UNSPECIFIED, unsettled=True)
    inner = thread(8, "", WAITING, (0, 0), interpreter=2, system_call="read")
    answer(daemon, unread, inner)
    lines = run("dump", "4711").stdout.splitlines()[3:]
    assert lines == [
        "(no name) (thread 7): could not be read",
        "    (no frame of Python)",
        "",
        "(no name) (thread 8, interpreter 2): waiting in read",
        "    spin (/srv/app/work.py:?)",
    ]


def test_notes_go_beside_the_data(run: Run, daemon: FakeDaemon) -> None:
    answer(daemon, BUSY, notes=[f"process 4711 is {HOSTILE}"])
    result = run("dump", "4711")
    assert "evil" not in result.stdout
    assert "process 4711 is evil" in result.stderr
    assert "\x1b" not in result.stderr


def test_json_holds_every_field(run: Run, daemon: FakeDaemon) -> None:
    task = targets_pb2.DumpedTask(id=9, name="one", native_id=4711, running=True, awaited_by=[8])
    answer(daemon, BUSY, IDLE[0], tasks=[task], stopped=1, notes=["a note"])
    result = run("dump", "4711", "--json")
    record = json.loads(result.stdout)
    assert {**record, "threads": [], "tasks": []} == {
        "pid": 4711,
        "command_line": ["python", "server.py"],
        "python_version": "3.11.7",
        "taken_at": TAKEN_AT,
        "stopped": 1,
        "notes": ["a note"],
        "threads": [],
        "tasks": [],
    }
    assert record["threads"][1] == {
        "native_id": 4712,
        "thread_id": 141,
        "name": "worker-0",
        "interpreter": 0,
        "state": "waiting",
        "system_call": "futex",
        "settled": True,
        "frames": [{"function": "wait", "file": "/usr/lib/python3.11/threading.py", "line": 40}],
    }
    (shown,) = record["tasks"]
    assert shown == {"id": 9, "name": "one", "native_id": 4711, "running": True, "awaited_by": [8], "frames": []}
    # A field that is added to the contract is to be shown too.
    assert len(targets_pb2.DumpedThread.DESCRIPTOR.fields) == len(record["threads"][0])
    assert len(targets_pb2.DumpedTask.DESCRIPTOR.fields) == len(shown)


def test_nothing_of_a_target_is_shown_as_it_is(run: Run, daemon: FakeDaemon) -> None:
    evil = thread(4711, HOSTILE, WAITING, (0, 3))
    dumped = response(evil, tasks=[targets_pb2.DumpedTask(id=1, name=HOSTILE, awaited_by=[1])])
    dumped.functions[0].name = dumped.functions[0].file = HOSTILE
    dumped.target.command_line[:] = [HOSTILE]
    daemon.script.answers["Targets.Dump"] = dumped
    text = run("dump", "4711", "--async").stdout
    assert "\x1b" not in text
    assert text.count("evil\\x1b[2J") >= 5
    colored = dump_text(dump(dumped), Layout(has_color=True))
    assert "\x1b[2J" not in colored
    assert json.loads(run("dump", "4711", "--json").stdout)["threads"][0]["name"] == HOSTILE


def test_dump_fails_as_the_daemon_does(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Targets.Dump"] = error_detail("target_gone", 4)
    result = run("dump", "4711")
    assert result.exit_code == 4
    assert "do something about target_gone" in result.stderr


def one_dump(*threads: ThreadStack, tasks: tuple[AwaitingTask, ...] = ()) -> Dump:
    process_value = process(targets_pb2.Candidate(target=make_target()))
    return Dump(process_value, TAKEN_AT, threads, stopped=0, notes=(), tasks=tasks)


def one_thread(*frames: StackFrame, state: str = "waiting", system_call: str = "", name: str = "one") -> ThreadStack:
    return ThreadStack(1, 2, name, 0, state, system_call, frames, is_settled=True)


@pytest.mark.parametrize("is_ascii", [False, True])
def test_lines_fit_a_narrow_terminal(is_ascii: bool) -> None:  # noqa: FBT001 - a parameter of the test
    frames = (StackFrame("step", LONG_PATH, 12), StackFrame("f" * 60, LONG_PATH, 3), StackFrame("(unsettled)", "", 0))
    value = one_dump(one_thread(*frames, name="n" * 60))
    mark = "..." if is_ascii else "…"
    lines = dump_text(value, Layout(width=40, is_ascii=is_ascii)).splitlines()
    assert max(map(len, lines)) == 40
    shortened = next(line for line in lines if "step" in line)
    assert shortened.startswith(f"    step ({mark}")
    assert shortened.endswith("/work.py:12)")
    assert "    (unsettled)" in lines
    assert LONG_PATH in dump_text(value, Layout(width=40, is_wide=True))


def test_colours_are_there_where_they_are_wanted() -> None:
    value = one_dump(one_thread(StackFrame("step", "/a.py", 1)))
    plain = dump_text(value, Layout())
    colored = dump_text(value, Layout(has_color=True))
    assert "\x1b" not in plain
    assert colored.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") == plain
    assert "\x1b[1mone (thread 1" in colored


def test_a_state_is_told_in_words() -> None:
    told = {state: state_words(state, "read") for state in THREAD_STATES}
    assert told == {
        "": "could not be read",
        "running_with_gil": "running with the GIL",
        "running_without": "running without the GIL",
        "waiting_with_gil": "waiting in read with the GIL",
        "waiting_for_gil": "waiting for the GIL",
        "waiting": "waiting in read",
    }
    assert state_words("waiting_with_gil", "") == "waiting with the GIL"


def test_who_awaits_whom_is_told_by_name() -> None:
    tasks = (
        AwaitingTask(1, "leaf", 7, is_running=False, frames=(StackFrame("leaf", "/a.py", 3),), awaited_by=(2, 3)),
        AwaitingTask(2, "root", 7, is_running=True, frames=(), awaited_by=()),
        AwaitingTask(4, "alone", 7, is_running=False, frames=(), awaited_by=()),
    )
    lines = dump_text(one_dump(tasks=tasks), Layout()).splitlines()
    assert [line for line in lines if line.startswith("task")] == [
        "task leaf (thread 7): awaited by root, another task",
        "task root (thread 7): running",
        "task alone (thread 7)",
    ]
    assert len(dump_record(one_dump(tasks=tasks))["tasks"]) == 3  # type: ignore[arg-type]


def test_the_states_have_the_names_of_the_contract() -> None:
    values = targets_pb2.ThreadState.DESCRIPTOR.values
    names = [value.name.removeprefix("THREAD_STATE_").lower() for value in values]
    assert names == ["unspecified", *THREAD_STATES[1:]]
    assert dump(response(thread(1, "", 77))).threads[0].state == ""
