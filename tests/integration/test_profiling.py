"""The main job from end to end: attach, profile, stop, report. The oracles are cProfile and the programs' counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import Counts, calls_by_thread, counts
from execd.model import codec, fold
from execd.model.filter import by_thread

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execd.model.profile import Profile
    from interpreters import Interpreter
    from programs import Program

# Programs that do the known workload on command, in what they do besides: each is attached to in another state.
PROGRAMS = ("reading", "asyncio_idle")
VERSIONS = ("3.9", "3.12", "3.15")
PASSES = 3
WORKERS = 4
CALLS_OF_FIRST = 4_000
# The time that a thread measured itself, and what the profile says of the same call.
TOLERANCE = 0.05


@pytest.fixture(params=["python", "native"])
def form(request: pytest.FixtureRequest) -> str:
    """The form that calls are recorded in: both tell the same."""
    return str(request.param)


def recorded(daemon: Daemon, program: Program, command: str, form: str) -> tuple[str, Profile]:
    """What a program answers to a command, and the profile of its doing it."""
    session = daemon.record_calls(program.pid, form)
    assert session.form == form
    answer = program.ask(command)
    daemon.detach(program.pid)
    return answer, codec.decode(daemon.final_profile(session.id))


def of_the_workload(found: dict[tuple[str, int, str], Counts]) -> dict[tuple[str, int, str], Counts]:
    # The oracle calls `run` itself, the programs by `repeat`.
    return {key: value for key, value in found.items() if key[0] == "workload.py" and key[2] != "repeat"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_calls_of_work_between_attach_and_stop_are_those_of_cprofile(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, name: str, form: str
) -> None:
    rows = spawn(interpreter, "oracle").ask_json(f"profile {PASSES}")
    expected = {(file.rpartition("/")[2], line, what): Counts(calls, own) for file, line, what, own, calls in rows}
    _, profile = recorded(daemon, spawn(interpreter, name), f"work {PASSES}", form)
    assert of_the_workload(counts(profile)) == of_the_workload(expected)
    assert len(of_the_workload(expected)) > 20
    assert profile.header.lost == {}


def test_each_threads_calls_are_exact_and_its_time_is_its_own(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, form: str
) -> None:
    program = spawn(interpreter, "threads", str(WORKERS))
    session = daemon.record_calls(program.pid, form)
    measured = {row["name"]: row for row in program.ask_json(f"run {CALLS_OF_FIRST}")}
    daemon.detach(program.pid)
    profile = codec.decode(daemon.final_profile(session.id))
    assert len(measured) == WORKERS
    steps = {name: calls for name, calls in calls_by_thread(profile, "step").items() if name in measured}
    assert steps == {name: row["calls"] for name, row in measured.items()}
    parts = {name: calls for name, calls in calls_by_thread(profile, "part").items() if name in measured}
    assert parts == {name: 2 * row["calls"] for name, row in measured.items()}
    for name, row in measured.items():
        of_the_thread = fold.by_function(by_thread(profile, name))
        (loop_ns,) = [found.figures.total_ns for key, found in of_the_thread.items() if key[2] == "loop"]
        # Between the two another thread may have had the processor, or the GIL.
        assert row["within_s"] * (1 - TOLERANCE) < loop_ns / 1e9 < row["wall_s"] * (1 + TOLERANCE)


# The names of code are text to all that comes after it; 3.11 is the first with qualified ones.
@pytest.mark.parametrize("interpreter", ["3.9", "3.11"], indirect=True)
def test_threads_of_a_module_that_is_imported_later_are_counted_from_their_first_call(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, form: str
) -> None:
    answer, profile = recorded(daemon, spawn(interpreter, "beginning"), f"threads {WORKERS}", form)
    calls = {key[2]: value.calls for key, value in counts(profile).items() if key[0] == "beginning.py"}
    assert (calls["work"], calls["leaf"]) == (WORKERS, int(answer))


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_hostile_names_survive_and_disturb_nothing(
    daemon: Daemon, interpreter: Interpreter, spawn: Spawn, form: str
) -> None:
    program = spawn(interpreter, "names")
    session = daemon.record_calls(program.pid, form)
    rows = program.ask_json("run 5")
    daemon.detach(program.pid)
    found = counts(codec.decode(daemon.final_profile(session.id)))
    for file, line, name, calls in rows:
        assert found[file.rpartition("/")[2], line, name].calls >= calls
    text = daemon.execctl("report", session.id)
    assert not {character for character in text if not character.isprintable()} - {"\n"}


@pytest.mark.parametrize("chosen", [("--exclude", "workload"), ("--include", "targets/workload.py")])
def test_code_that_is_left_out_is_in_no_report_and_the_head_says_so(
    daemon: Daemon, local_interpreter: Interpreter, spawn: Spawn, form: str, chosen: tuple[str, str]
) -> None:
    program = spawn(local_interpreter, "reading")
    daemon.execctl("attach", str(program.pid), "--profile", "--form", form, *chosen)
    program.ask(f"work {PASSES}")
    session = daemon.latest_session()
    daemon.detach(program.pid)
    profile = codec.decode(daemon.final_profile(session))
    own = {function.file.endswith("workload.py") for function in map(profile.functions.__getitem__, of_nodes(profile))}
    assert (True in own) == (chosen[0] == "--include")
    if chosen[0] == "--include":
        files = {profile.functions[one].file.rpartition("/")[2] for one in of_nodes(profile)}
        assert files == {"workload.py", "~"}
    assert "is recorded; the time of the rest is its callers'" in daemon.execctl("report", session)


def of_nodes(profile: Profile) -> list[int]:
    """The functions of a profile's nodes."""
    return [profile.function_of(node) for node in range(len(profile.parents))]
