"""The target programs do what their docstrings say, under every interpreter and without execd."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from typing import TYPE_CHECKING

from programs import SOURCES
from targets.workload import CALLS, CHECKSUM

if TYPE_CHECKING:
    from conftest import Spawn
    from interpreters import Interpreter


def test_busy_counts_each_level_of_its_calls(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "busy")
    first = program.ask_json("counters")
    second = program.ask_json("counters")
    while second == first:
        second = program.ask_json("counters")
    assert second["leaf"] > first["leaf"]
    assert 0 <= second["outer"] * 12 - second["leaf"] <= 12
    assert 0 <= second["outer"] * 3 - second["middle"] <= 3


def test_sleeping_wakes_after_its_time(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "sleeping", "20")
    word, number, elapsed_ms = program.read_line().split()
    assert (word, number) == ("woke", "1")
    assert float(elapsed_ms) >= 20


def test_asyncio_idle_works_on_command(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "asyncio_idle")
    assert program.ask_json("work 3") == 3 * CHECKSUM
    assert program.ask_json("tasks 5") == 5


def test_asyncio_idle_is_woken_by_its_timer(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "asyncio_idle")
    first = program.ask_json("ticks")
    while program.ask_json("ticks") <= first:
        assert program.alive()


def test_reading_works_for_each_line(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "reading")
    assert program.ask_json("work 2") == 2 * CHECKSUM
    assert program.ask_json("count") == 2


def test_locked_passes_once_for_each_release(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "locked")
    assert [program.ask_json("release") for _ in range(3)] == [1, 2, 3]


def test_threads_do_their_share(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "threads", "3")
    for command, prefix in (("run 10", "worker"), ("fresh 10", "fresh")):
        answers = program.ask_json(command)
        assert [answer["name"] for answer in answers] == [f"{prefix}-{index}" for index in range(3)]
        assert [answer["calls"] for answer in answers] == [10, 20, 30]
        assert all(answer["wall_s"] > 0 for answer in answers)


def test_http_server_answers(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "http_server")
    with urllib.request.urlopen(f"http://127.0.0.1:{program.ready_text}/10", timeout=10) as response:
        assert response.read() == b"55"
    assert program.ask_json("requests") == 1


def test_raising_catches_what_its_handler_raises(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "raising")
    os.kill(program.pid, signal.SIGUSR1)
    while (counters := program.ask_json("counters")) != {"raised": 1, "caught": 1}:
        assert counters["raised"] <= 1


def test_raising_survives_its_own_timer(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "raising", "1000")
    while program.ask_json("counters")["caught"] < 20:
        assert program.alive()


def test_forking_has_children_that_work(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "forking")
    children = [program.ask_json("fork") for _ in range(2)]
    assert len(set(children)) == 2
    assert program.ask_json("reap") == [0, 0]
    assert program.ask_json("work 1") == CHECKSUM
    assert program.stderr() == ""


def test_names_are_hostile_and_called(interpreter: Interpreter, spawn: Spawn) -> None:
    program = spawn(interpreter, "names")
    rows = program.ask_json("run 2")
    assert {row[3] for row in rows} == {2}
    assert {"\x1b", "\n", "\u202e", "\udcff", "\x00"} <= set("".join(row[2] for row in rows))


def test_the_workload_gives_its_known_counts(interpreter: Interpreter, spawn: Spawn) -> None:
    rows = spawn(interpreter, "oracle").ask_json("profile 2")
    own = [row for row in rows if row[0].endswith("workload.py")]
    counted = {name: (calls, primitive) for _file, _line, name, primitive, calls in own}
    expected = {name: (2 * calls, 2 * primitive) for name, (calls, primitive) in CALLS.items()}
    assert {name: counted[name] for name in expected} == expected


def test_state_tells_what_a_process_holds(interpreter: Interpreter, spawn: Spawn) -> None:
    state = json.loads(spawn(interpreter, "reading").ask("state"))
    assert state["threads"] == ["MainThread"]
    assert state["os_threads"] == 1
    assert (state["profile"], state["trace"]) == ("None", "None")
    assert "execd_agent" not in state["modules"]


PARTS = ("line_protocol", "workload", "tracked", "allocated")
ARGUMENTS = {
    "sleeping": ["20"],
    "deep": ["100"],
    "limited": ["descriptors"],
    "profiled": ["1"],
    "sampled": ["short"],
    "storming": ["fork"],
    "waiting": ["poll", "1000000"],
    "working": ["sum"],
}
STARTED = ("started", "countable")
OF_LIBRARIES = (
    "benchmarked",
    "crunching",
    "serving",
    "strange",
    "gunicorn_master",
    "gunicorn_server",
    "uvicorn_server",
)


def test_every_program_ends_with_its_pipes(local_interpreter: Interpreter, spawn: Spawn) -> None:
    for path in sorted(SOURCES.glob("*.py")):
        # Parts of the others; one that ends with its parent; a service of its own, with no pipe to talk to; programs
        # that need a folder of libraries; what `execctl run` starts.
        if path.stem not in (*PARTS, "signalled", "orders", *OF_LIBRARIES, *STARTED):
            program = spawn(local_interpreter, path.stem, *ARGUMENTS.get(path.stem, []))
            program.close_pipes()
            program.wait()
