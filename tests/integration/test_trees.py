"""Process trees: what all descendants of a process have done is recorded, and all are as they are without us."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import grpc
import psutil
import pytest
from agent_drivers import counts
from daemons import Daemon
from execd.model import codec
from execd_api.v1 import sessions_pb2
from footprint import becomes, descriptors, settled
from footprint import footprint as looked_at
from judged import packages
from starter import recorded, starter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Spawn
    from execd_api.v1.sessions_pb2 import Session
    from interpreters import Interpreter
    from programs import Program, ProgramFolders

VERSIONS = ("3.9", "3.12", "3.15")
FORKS = ("os_exit", "interpreter_exit", "uncaught", "killed", "grandchild", "orphan", "in_thread", "fork_pool")
STARTS = ("os_exit", "fork_pool", "spawn_pool", "forkserver_pool", "ran", "ran_open", "ran_prepared", "ran_by_shell")
MODES = ("calls", "callers", "functions", "lines", "cover", "memory", "trace")
TIMEOUT_S = 60.0
SETTLE_S = 15.0
# A child waits so long for a daemon that does not come, and all that a busy machine adds.
PATIENCE_S, SLACK_S = 2.0, 6.0
MOST_PROCESSES = 200
MOST_SESSIONS = 1000
KIDS = 2
POLL_S = 0.05
# Of the gunicorn of targets/gunicorn_master.py, and how it is loaded.
WORKERS, RELOADS, CLIENTS, BETWEEN_S = 8, 3, 4, 2.5


def spec(collector: str = "calls") -> sessions_pb2.SessionSpec:
    """A session of a tree."""
    return sessions_pb2.SessionSpec(collector=collector, options_json="{}", children=True)


def of_group(daemon: Daemon, first: Session) -> list[Session]:
    """All sessions of a group."""
    return [one for one in daemon.latest_sessions(MOST_SESSIONS) if one.group == first.group]


def counted(daemon: Daemon, sessions: list[Session]) -> int:
    """How often `counted` was called, as all of some sessions have it."""
    rows = [counts(codec.decode(daemon.final_profile(one.id))) for one in sessions if one.latest_profile]
    return sum(row.calls for found in rows for (_, _, name), row in found.items() if name == "counted")


def notes(daemon: Daemon, session: str) -> list[str]:
    """What a profile says of descendants."""
    caveats = codec.decode(daemon.final_profile(session)).header.caveats
    return [one for one in caveats if "descendants" in one]


def recorded_at(daemon: Daemon, program: Program) -> Session:
    """Records the calls of a tree."""
    return daemon.attach(program.pid, spec()).sessions[0]


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_forked_children_miss_no_call(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    assert_forks_are_whole(daemon, spawn, interpreter)


@pytest.mark.soak
def test_forked_children_miss_no_call_on_each_version(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    assert_forks_are_whole(daemon, spawn, interpreter)


def assert_forks_are_whole(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    """Children that end in every way, under -W error, have all calls in their sessions, and nobody hears of us."""
    program = spawn(interpreter, "lineage", "error")
    before, state = looked_at(program.pid), program.ask_json("state")
    session = recorded_at(daemon, program)
    told = sum(program.ask_json(one, TIMEOUT_S) for one in FORKS)
    daemon.detach(program.pid)
    # That of the child which was killed is there where the daemon had opened its tables by then.
    assert counted(daemon, of_group(daemon, session)) - told in (0, 1)
    assert told > 0
    assert settled(program.pid, before) == before
    after = program.ask_json("state")
    kept = ("fds", "threads", "profile", "trace", "tools", "filters", "switch_interval_s")
    assert {name: after[name] for name in kept} == {name: state[name] for name in kept}
    assert program.stderr() == ""
    assert daemon.complaints() == []


def test_programs_that_are_started_by_a_program_miss_no_call(
    daemon: Daemon, local_interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path
) -> None:
    assert_starts_are_whole(daemon, local_interpreter, program_folders, tmp_path)


@pytest.mark.soak
def test_programs_that_are_started_by_a_program_of_each_version(
    daemon: Daemon, interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path
) -> None:
    if interpreter.root:
        pytest.skip("in another root the daemon's socket is not to be found, docs/trees.md")
    assert_starts_are_whole(daemon, interpreter, program_folders, tmp_path)


def assert_starts_are_whole(
    daemon: Daemon, interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path
) -> None:
    """Interpreters that are executed, in every way in which they have the environment, have all calls in sessions."""
    here = starter(interpreter, program_folders, tmp_path)
    words = here.words("lineage", "error", *STARTS)
    plain = here.plain(*words)
    ours = here.run(daemon, ("--profile", "--children"), *words)
    assert (ours.status, ours.stdout) == (plain.status, plain.stdout)
    assert "nothing" not in ours.stderr
    session = daemon.session(recorded(ours.stderr)[0])
    assert counted(daemon, of_group(daemon, session)) == int(ours.stdout)


# A child that may have no thread, and what it has of ours then.
THREADLESS = """
import os, signal, sys
def refuse(event, _arguments):
    if event == "_thread.start_new_thread":
        raise RuntimeError("no more threads")
sys.addaudithook(refuse)
child = os.fork()
if not child:
    files = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")[:-1]]
    print(type(os._exit).__name__, signal.pthread_sigmask(signal.SIG_BLOCK, ()), sum("socket" in one for one in files))
    sys.stdout.flush()
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize("interpreter", ["3.12"], indirect=True)
def test_a_child_that_may_have_no_thread_has_nothing_of_ours(
    daemon: Daemon, interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path
) -> None:
    ended = starter(interpreter, program_folders, tmp_path).run(
        daemon, ("--profile", "--children", "--quiet"), "-c", THREADLESS
    )
    assert (ended.status, ended.stdout) == (0, "builtin_function_or_method set() 0\n")
    assert "Error" not in ended.stderr


@pytest.mark.parametrize("command", ["ran_bare", "ran_isolated"])
def test_an_interpreter_that_comes_late_or_never_is_told(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter, command: str
) -> None:
    program = spawn(local_interpreter, "lineage")
    session = recorded_at(daemon, program)
    program.ask_json(command, TIMEOUT_S)
    daemon.detach(program.pid)
    late = [one for one in of_group(daemon, session) if one.id != session.id]
    if late:
        # Its end may be nearer than our first look at what it has recorded.
        said = " ".join([*late[0].caveats, late[0].reason])
        assert "after the process's start" in said or "has ended" in said
    else:
        # One that came and went between two looks at /proc was seen by nobody.
        assert notes(daemon, session.id) in ([], ["1 of its descendants are not recorded: ended before"])


def test_what_is_no_interpreter_is_not_told_of(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "lineage")
    session = recorded_at(daemon, program)
    program.ask_json("ran_shell")
    daemon.detach(program.pid)
    assert [one.id for one in of_group(daemon, session)] == [session.id]
    assert notes(daemon, session.id) == []


def test_a_child_has_every_mode_of_its_parent(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "lineage", "error")
    first = daemon.attach(program.pid, *map(spec, MODES)).sessions[0]
    for command in ("grandchild", "in_thread"):
        program.ask_json(command)
    daemon.detach(program.pid)
    sessions = of_group(daemon, first)
    by_process = {one.pid: sorted(row.spec.collector for row in sessions if row.pid == one.pid) for one in sessions}
    assert list(by_process.values()) == [sorted(MODES)] * 4
    assert all(one.latest_profile for one in sessions)
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS[:2], indirect=True)
def test_a_detach_of_the_root_leaves_nothing_in_any_process(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter
) -> None:
    program = spawn(interpreter, "brooding")
    early = program.ask_json("kid")
    before = {pid: descriptors(pid) for pid in (program.pid, early)}
    plain = program.ask_json("looks")
    recorded_at(daemon, program)
    late = program.ask_json("kid")
    program.ask_json("forks")
    # The early one is attached to.
    assert becomes(lambda: not any(one["exit"] for one in program.ask_json("looks")), SETTLE_S)
    program.tell("forking 20")
    daemon.detach(program.pid)
    program.read_line(TIMEOUT_S)
    assert becomes(lambda: program.ask_json("looks") == [*plain, plain[-1]], SETTLE_S), program.ask_json("looks")
    assert {pid: held(descriptors(pid)) for pid in before} == {pid: held(found) for pid, found in before.items()}
    assert held(descriptors(late)) == []
    assert program.stderr() == ""


def held(found: list[str]) -> list[str]:
    """Those that could be ours."""
    return [one for one in found if "socket:" in one or "memfd" in one]


def test_words_for_a_group_are_for_all_of_it(daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter) -> None:
    program = spawn(local_interpreter, "brooding")
    session = recorded_at(daemon, program)
    kids = [program.ask_json("kid") for _ in range(KIDS)]
    assert becomes(lambda: {one.pid for one in of_group(daemon, session)} == {program.pid, *kids}, SETTLE_S)
    for command in ("snapshot", "report", "stop"):
        assert daemon.execctl(command, session.group)
    assert {one.state for one in of_group(daemon, session)} == {sessions_pb2.SESSION_STATE_STOPPED}
    daemon.execctl("detach", session.group)
    assert becomes(lambda: not any(one["agents"] for one in program.ask_json("looks")), SETTLE_S)


def test_a_process_of_a_tree_is_no_root_of_another(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "brooding")
    session = recorded_at(daemon, program)
    kid = program.ask_json("kid")
    assert becomes(lambda: kid in {one.pid for one in of_group(daemon, session)}, SETTLE_S)
    with pytest.raises(grpc.RpcError, match=f"recorded as a descendant of process {program.pid}"):
        daemon.attach(kid, spec())
    daemon.detach(program.pid)


def test_children_whose_root_is_killed_are_recorded_to_their_end(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "brooding")
    session = recorded_at(daemon, program)
    kid = program.ask_json("kid")
    assert becomes(lambda: kid in {one.pid for one in of_group(daemon, session)}, SETTLE_S)
    # The kid's pipe ends with it.
    program.close()
    (of_kid,) = [one for one in of_group(daemon, session) if one.pid == kid]
    assert daemon.ended(of_kid.id).state == sessions_pb2.SESSION_STATE_STOPPED
    assert daemon.session(of_kid.id).latest_profile


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.soak)])
def test_children_go_on_without_their_daemon(spawn: Spawn, local_interpreter: Interpreter, how: signal.Signals) -> None:
    with Daemon() as daemon:
        program = spawn(local_interpreter, "lineage", "error")
        recorded_at(daemon, program)
        # Some are made before it, some after it.
        program.tell("storm 6")
        os.kill(daemon.process.pid, how)
        program.read_line(6 * (PATIENCE_S + SLACK_S))
        began = time.monotonic()
        program.ask_json("os_exit")
        assert time.monotonic() - began < PATIENCE_S + SLACK_S
        assert program.stderr() == ""
        if how == signal.SIGSTOP:
            os.kill(daemon.process.pid, signal.SIGCONT)
            daemon.detach(program.pid)


@pytest.mark.parametrize("version", ["3.9", "3.12"])
def test_an_exception_of_a_handler_reaches_the_program_of_a_child(
    daemon: Daemon, spawn: Spawn, interpreters: dict[str, Interpreter], version: str
) -> None:
    if version not in interpreters:
        pytest.skip(f"no CPython {version}")
    program = spawn(interpreters[version], "lineage")
    recorded_at(daemon, program)
    raised = program.ask_json("signalled 12", TIMEOUT_S)
    # A handler may run in a hook of the standard library's, as it may without us.
    assert raised + program.stderr().count("Exception ignored in") == 12
    daemon.detach(program.pid)


@pytest.mark.soak
def test_three_hundred_short_children_leave_the_daemon_as_it_is(
    daemon: Daemon, spawn: Spawn, interpreter: Interpreter
) -> None:
    program = spawn(interpreter, "lineage")
    session = recorded_at(daemon, program)
    program.ask_json("storm 50", TIMEOUT_S)
    process = psutil.Process(daemon.process.pid)
    opened, resident = process.num_fds(), process.memory_info().rss
    storm = threading.Thread(target=program.ask_json, args=("storm 300", TIMEOUT_S))
    storm.start()
    longest_s = 0.0
    while storm.is_alive():
        began = time.monotonic()
        daemon.latest_sessions(MOST_SESSIONS)
        longest_s = max(longest_s, time.monotonic() - began)
        storm.join(POLL_S)
    assert longest_s < 1.0
    assert becomes(lambda: process.num_fds() <= opened, SETTLE_S)
    assert process.memory_info().rss - resident < 16 << 20
    daemon.detach(program.pid)
    assert counted(daemon, of_group(daemon, session)) == 350 * 20
    assert notes(daemon, session.id) == []


@pytest.mark.soak
def test_those_beyond_two_hundred_at_once_go_on_and_are_told(
    daemon: Daemon, spawn: Spawn, local_interpreter: Interpreter
) -> None:
    program = spawn(local_interpreter, "lineage")
    session = recorded_at(daemon, program)
    told = program.ask_json("crowd 230", TIMEOUT_S)
    daemon.detach(program.pid)
    sessions = of_group(daemon, session)
    assert len(sessions) == MOST_PROCESSES
    (note,) = notes(daemon, session.id)
    assert note.startswith("31 of its descendants are not recorded: 200 processes are recorded at once")
    late = [one for one in sessions if any("longer than the 2 s" in said for said in one.caveats)]
    assert counted(daemon, sessions) >= told - 31 * 20 - len(late) * 20


@pytest.mark.soak
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_prefork_server_that_reloads_under_load(daemon: Daemon, spawn: Spawn, interpreter: Interpreter) -> None:
    master = spawn(interpreter, "gunicorn_master", packages(interpreter, "gunicorn"))
    assert becomes(lambda: len(psutil.Process(master.pid).children()) == WORKERS, SETTLE_S)
    session = recorded_at(daemon, master)
    assert becomes(lambda: len(of_group(daemon, session)) == 1 + WORKERS, SETTLE_S)
    answered = under_load(int(master.ready_text), lambda: reload_often(master))
    # A worker says what it has answered when it ends.
    os.kill(master.pid, signal.SIGHUP)
    ends = WORKERS * (RELOADS + 1)
    assert becomes(lambda: master.ask_json("told") == [ends, answered], SETTLE_S), master.ask_json("told")
    of_ended = WORKERS * (RELOADS + 2) + 1
    assert becomes(lambda: len(of_group(daemon, session)) == of_ended, SETTLE_S)
    daemon.detach(master.pid)
    sessions = of_group(daemon, session)
    assert counted(daemon, sessions) == answered > 0
    assert notes(daemon, session.id) == []
    assert daemon.complaints() == []


def reload_often(master: Program) -> None:
    """Has all workers replaced, several times."""
    for _ in range(RELOADS):
        time.sleep(BETWEEN_S)
        os.kill(master.pid, signal.SIGHUP)
    time.sleep(BETWEEN_S)


def under_load(port: int, do: Callable[[], None]) -> int:
    """Makes requests while something is done, and returns how many; none of them fails."""
    ending, answered, failures = threading.Event(), [0] * CLIENTS, []

    def ask(number: int) -> None:
        while not ending.is_set():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=TIMEOUT_S) as answer:
                    answered[number] += answer.status == 200
            except OSError as error:
                failures.append(error)

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        do()
    finally:
        ending.set()
        for client in clients:
            client.join()
    assert failures == []
    return sum(answered)
