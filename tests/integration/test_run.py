"""`execctl run`: a program is as it is without us, and what is recorded of it begins and ends with it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from agent_drivers import counts
from execd.attach.process import open_files
from execd.model import codec
from execd_api.v1.sessions_pb2 import SESSION_STATE_STOPPED, SESSION_STATE_TARGET_GONE
from footprint import becomes
from judged import PROGRAMS, packages
from starter import TIMEOUT_S, WITH_CPROFILE, WITH_TRACE, environment, recorded, session_of, starter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter
    from programs import ProgramFolders
    from starter import Ended, Starter

VERSIONS = ("3.9", "3.12", "3.15")
ENDS = ("raise", "exit", "text", "usage", "pickle", "threads", "children", "spawn", "fork", "interrupt")
# Of them the one whose status the agent could change.
SHORT = ("interrupt",)
PROFILE = ("--profile", "--quiet")
# There is one slot of a thread before sys.monitoring came.
MONITORING = (3, 12)
# A signal handler runs there within whatever is on top, which is our profile function.
HANDLED_AT_ONCE = (3, 11)
NOT_SUPPORTED = 6

# How long a program waits for the daemon at its start.
PATIENCE_S = 10.0
FORKING = """
import os, time
began = time.monotonic()
child = os.fork()
if child:
    os._exit(os.waitpid(child, 0)[1])
"""
FORKED = """
import sys, time
from forking import began
print(time.monotonic() - began, sys.getprofile())
"""
STOPPING = """
import os, signal, time
os.kill(int(os.environ["PID_OF"]), signal.SIGSTOP)
began = time.monotonic()
"""
STOPPED = """
import os, signal, time
from stopping import began
print(time.monotonic() - began)
os.kill(int(os.environ["PID_OF"]), signal.SIGCONT)
# Until it has armed.
time.sleep(3)
"""


@pytest.fixture(autouse=True)
def heard_interrupts() -> Iterator[None]:
    """A shell that starts the tests in its background has SIGINT ignored, and so would all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def here(local_interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path) -> Starter:
    """Starts programs under the version of the tests."""
    return starter(local_interpreter, program_folders, tmp_path)


@pytest.fixture
def each(interpreter: Interpreter, program_folders: ProgramFolders, tmp_path: Path) -> Starter:
    """Starts programs under each version in turn."""
    return starter(interpreter, program_folders, tmp_path)


def assert_same(each: Starter, daemon: Daemon, *words: str, **variables: str) -> Ended:
    """A program ends as it does without us, with the same output, byte by byte."""
    plain = each.plain(*words, **variables)
    ours = each.run(daemon, PROFILE, *words, **variables)
    assert ours == plain
    return ours


def test_what_a_program_sees_of_itself_is_what_it_sees_without_us(daemon: Daemon, here: Starter) -> None:
    assert_looks_same(here, daemon)


@pytest.mark.soak
def test_what_a_program_of_each_version_sees_of_itself(daemon: Daemon, each: Starter) -> None:
    assert_looks_same(each, daemon)


def assert_looks_same(each: Starter, daemon: Daemon) -> None:
    """A program that looks at itself and its surroundings sees nothing of us."""
    words = each.words("started", "look", "--known", "-x")
    plain, ours = (
        json.loads(end.stdout.rpartition("a line")[0])
        for end in (each.plain(*words), each.run(daemon, PROFILE, *words))
    )
    if each.version < MONITORING:
        assert (plain.pop("profile"), ours.pop("profile")) == ("None", "set")
    assert ours == plain
    assert ours["main"]


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_calls_and_lines_from_the_first_to_the_last_are_those_of_cprofile_and_trace(
    daemon: Daemon, each: Starter
) -> None:
    assert_counts(each, daemon)


@pytest.mark.soak
def test_calls_and_lines_of_each_version(daemon: Daemon, each: Starter) -> None:
    assert_counts(each, daemon)


def assert_counts(each: Starter, daemon: Daemon) -> None:
    """Each function of a program's own was called, and each of its lines has run, as often."""
    functions = {
        (file, line, name): calls
        for file, line, name, calls in each.oracle(WITH_CPROFILE, "countable")
        if file == "countable.py"
    }
    lines = dict(each.oracle(WITH_TRACE, "countable"))
    of_calls, of_lines = recorded(each.run(daemon, ("--profile", "--count"), *each.words("countable")).stderr)
    assert {daemon.session(one).state for one in (of_calls, of_lines)} == {SESSION_STATE_STOPPED}
    found = counts(codec.decode(daemon.final_profile(of_calls)))
    ours = {key: row.calls for key, row in found.items() if key[0] == "countable.py"}
    assert {bare(key): calls for key, calls in ours.items()} == {bare(key): calls for key, calls in functions.items()}
    assert [calls for key, calls in ours.items() if key[2].endswith("<module>")] == [1]
    (own,) = [file for file in daemon.report(of_lines)["files"] if file["path"].endswith("/countable.py")]
    assert {line: hits for line, hits in own["hits"] if hits} == lines
    assert (len(functions) > 8, len(lines) > 20) == (True, True)


def bare(key: tuple[str, int, str]) -> tuple[str, int, str]:
    """A function without its class."""
    return key[0], key[1], key[2].rpartition(".")[2]


def test_blocks_that_live_at_the_end_are_those_of_tracemalloc(daemon: Daemon, here: Starter) -> None:
    assert_blocks(here, daemon)


@pytest.mark.soak
def test_blocks_of_each_version(daemon: Daemon, each: Starter) -> None:
    assert_blocks(each, daemon)


def assert_blocks(each: Starter, daemon: Daemon) -> None:
    """The blocks that a program keeps are those that it says of itself under -X tracemalloc."""
    said = each.plain("-X", "tracemalloc", *each.words("countable")).stderr.splitlines()
    theirs = {int(line): (int(count), int(size)) for _, line, count, size in map(str.split, said)}
    (session,) = recorded(each.run(daemon, ("--memory",), *each.words("countable")).stderr)
    rows = daemon.report(session, "--by", "lineno", "--include", "*/countable.py", "--limit", "100")["statistics"]
    ours = {row["frames"][0]["line"]: (row["count"], row["size"]) for row in rows}
    largest = max(theirs, key=lambda line: theirs[line][1])
    assert ours[largest] == theirs[largest]
    assert theirs[largest][0] > 40
    # What lay in a free list, or was interned, before tracing began is in theirs alone: -X begins earlier.
    last = max(theirs)
    assert all(ours[line][0] <= theirs[line][0] for line in ours if line in theirs and line < last)


@pytest.mark.parametrize("action", SHORT)
def test_a_program_ends_as_it_does_without_us(daemon: Daemon, here: Starter, action: str) -> None:
    assert_same(here, daemon, *here.words("started", action))


@pytest.mark.soak
@pytest.mark.parametrize("action", ENDS)
def test_a_program_of_each_version_ends_as_it_does_without_us(daemon: Daemon, each: Starter, action: str) -> None:
    if action == "interrupt" and each.version < HANDLED_AT_ONCE:
        pytest.skip("a frame of ours may be in the traceback: docs/running.md")
    assert_same(each, daemon, *each.words("started", action))


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
@pytest.mark.parametrize("name", PROGRAMS)
def test_lines_of_programs_of_pyperformance_are_those_of_trace(
    daemon: Daemon, interpreter: Interpreter, each: Starter, spawn: Spawn, name: str
) -> None:
    arguments = (packages(interpreter, "pyperformance"), name)
    theirs = {
        line: hits
        for path, line, hits in spawn(interpreter, "benchmarked", *arguments).ask_json("trace", TIMEOUT_S)["counts"]
        if path.endswith("/run_benchmark.py")
    }
    # Without a command it works once.
    (session,) = recorded(each.run(daemon, ("--count",), *each.words("benchmarked", *arguments)).stderr)
    (own,) = [file for file in daemon.report(session)["files"] if file["path"].endswith("/run_benchmark.py")]
    assert {line: hits for line, hits in own["hits"] if hits} == theirs
    assert len(theirs) > 10


@pytest.mark.soak
def test_sources_that_take_long_to_compile_cost_nobody_the_data(daemon: Daemon, each: Starter) -> None:
    ours = each.run(daemon, ("--count", "--cover", "--memory"), *each.words("started", "threads"))
    assert ours.stdout == "late 1\nat exit 1\n"
    sessions = recorded(ours.stderr)
    assert [daemon.session(one).state for one in sessions] == [SESSION_STATE_STOPPED] * 3
    (own,) = [file for file in daemon.report(sessions[0])["files"] if file["path"].endswith("/started.py")]
    assert sum(hits == 2 for _, hits in own["hits"]) >= 1


@pytest.mark.soak
def test_modules_and_texts_are_recorded_from_their_first_line(daemon: Daemon, here: Starter) -> None:
    code = "def f(): pass\nf()\nf()"
    (of_text,) = recorded(here.run(daemon, ("--profile",), "-c", code).stderr)
    found = counts(profile := codec.decode(daemon.final_profile(of_text)))
    assert (found["<string>", 1, "f"].calls, profile.header.caveats) == (2, ())
    module = here.run(daemon, ("--profile",), "-m", "countable", PYTHONPATH=here.folder)
    assert module.stdout == here.plain("-m", "countable", PYTHONPATH=here.folder).stdout
    found = counts(codec.decode(daemon.final_profile(recorded(module.stderr)[0])))
    assert {key[2]: row.calls for key, row in found.items() if key[0] == "countable.py"}["fib"] == 465


@pytest.mark.soak
def test_several_modes_record_one_program(daemon: Daemon, here: Starter) -> None:
    modes = ("--profile", "--count", "--trackcalls", "--memory", "--name", "all")
    sessions = recorded(here.run(daemon, modes, *here.words("countable")).stderr)
    assert [daemon.session(one).spec.collector for one in sessions] == ["calls", "lines", "callers", "memory"]
    assert {daemon.session(one).state for one in sessions} == {SESSION_STATE_STOPPED}
    assert len({daemon.session(one).group for one in sessions}) == 1


@pytest.mark.soak
def test_a_sitecustomize_of_the_programs_own_is_run_in_its_place(daemon: Daemon, here: Starter, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.seen = __file__, sorted(globals())\n", "ascii")
    code = "import os, sys; print(sys.seen, sys.path, os.environ['PYTHONPATH'], sys.modules['sitecustomize'])"
    assert_same(here, daemon, "-c", code, PYTHONPATH=str(tmp_path))


@pytest.mark.soak
def test_a_program_that_is_killed_keeps_what_was_stored_until_then(daemon: Daemon, here: Starter) -> None:
    ours = here.run(daemon, ("--profile",), *here.words("started", "kill"))
    assert (ours.status, ours.stdout) == (-signal.SIGKILL, "dies\n")
    (session,) = recorded(ours.stderr)
    assert daemon.session(session).state == SESSION_STATE_TARGET_GONE
    found = counts(codec.decode(daemon.final_profile(session)))
    (calls,) = [row.calls for key, row in found.items() if key[2] == "late_work"]
    assert calls > 1000


@contextmanager
def waiting(here: Starter, daemon: Daemon, terminal: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A program that says that it is ready, and waits for a signal."""
    command = here.command(daemon, ("--profile",), *here.words("started", "wait"))
    if terminal:
        # The leader of a session without a terminal gets the one that it opens.
        command = ["sh", "-c", 'exec "$@" < "$0"', terminal, *command]
    pipe, is_leader = subprocess.PIPE, bool(terminal)
    with subprocess.Popen(
        command, env=environment({}), start_new_session=is_leader, stdout=pipe, stderr=pipe
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_a_running_program_is_a_target_and_gets_the_signals_that_execctl_gets(daemon: Daemon, here: Starter) -> None:
    with waiting(here, daemon) as process:
        session = session_of(daemon, process).id
        assert {row["name"] for row in daemon.report(session)["functions"]} >= {"wait_for_signal"}
        daemon.snapshot(daemon.session(session).pid)
        process.terminate()
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == -signal.SIGTERM
    assert recorded(said.decode()) == [session]
    assert daemon.session(session).state == SESSION_STATE_TARGET_GONE


@pytest.mark.soak
def test_a_detach_leaves_a_program_that_goes_on(daemon: Daemon, here: Starter) -> None:
    with waiting(here, daemon) as process:
        pid = session_of(daemon, process).pid
        daemon.detach(pid)
        assert becomes(lambda: not marked(pid), TIMEOUT_S)
        os.kill(pid, signal.SIGINT)
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == -signal.SIGINT
    assert said.decode().rpartition("KeyboardInterrupt\n")[2].startswith("execctl: recorded")


# It is compared with our function when that is taken back.
STRANGE = """
import atexit, signal
class Strange:
    def __eq__(self, other):
        raise SystemExit("compared")
    __call__ = print
atexit.register(Strange())
signal.signal(signal.SIGTERM, lambda *_: None)
print("ready", flush=True)
signal.pause()
"""


def test_a_detach_leaves_nothing_where_the_programs_functions_do_not_compare(daemon: Daemon, here: Starter) -> None:
    command = here.command(daemon, PROFILE, "-c", STRANGE)
    with subprocess.Popen(command, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            pid = session_of(daemon, process).pid
            daemon.detach(pid)
            assert becomes(lambda: not marked(pid), TIMEOUT_S)
            os.kill(pid, signal.SIGTERM)
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()


def marked(pid: int) -> list[str]:
    """The files of ours that a process has open."""
    return [target for target in open_files(pid).values() if "execd" in target]


def test_ctrl_c_of_a_terminal_is_the_programs_and_the_data_are_kept(daemon: Daemon, here: Starter) -> None:
    ours, theirs = pty.openpty()
    with waiting(here, daemon, os.ttyname(theirs)) as process:
        session = session_of(daemon, process).id
        os.write(ours, b"\x03")
        _, said = process.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in said
    assert daemon.session(session).state == SESSION_STATE_STOPPED


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-I", "-c", "pass"), "-I"),
        (("-BE", "-m", "this"), "-E"),
        (("-W", "error", "-S", "x.py"), "-S"),
    ],
)
def test_a_program_that_would_run_unmeasured_is_not_started(
    daemon: Daemon, here: Starter, words: tuple[str, ...], why: str
) -> None:
    ours = here.run(daemon, ("--profile",), *words)
    assert (ours.status, ours.stdout) == (NOT_SUPPORTED, "")
    assert f"started with {why}" in ours.stderr


def test_a_child_forked_before_the_first_line_waits_for_nobody(daemon: Daemon, here: Starter, tmp_path: Path) -> None:
    (tmp_path / "forking").mkdir()
    (tmp_path / "forking" / "__init__.py").write_text(FORKING, "ascii")
    (tmp_path / "forking" / "__main__.py").write_text(FORKED, "ascii")
    ours = here.run(daemon, ("--profile",), "-m", "forking", PYTHONPATH=str(tmp_path))
    took_s, profile = ours.stdout.split()
    assert (ours.status, profile) == (0, "None")
    assert float(took_s) < PATIENCE_S / 2


@pytest.mark.soak
def test_a_program_that_the_daemon_keeps_waiting_begins_in_time_and_is_told_of(
    daemon: Daemon, here: Starter, tmp_path: Path
) -> None:
    (tmp_path / "stopping").mkdir()
    (tmp_path / "stopping" / "__init__.py").write_text(STOPPING, "ascii")
    (tmp_path / "stopping" / "__main__.py").write_text(STOPPED, "ascii")
    ours = here.run(daemon, ("--profile",), "-m", "stopping", PYTHONPATH=str(tmp_path), PID_OF=str(daemon.process.pid))
    assert PATIENCE_S * 0.9 < float(ours.stdout) < PATIENCE_S * 1.5
    (session,) = recorded(ours.stderr)
    assert daemon.session(session).state == SESSION_STATE_STOPPED
    assert "that a program waits for it" in " ".join(daemon.session(session).caveats)


def test_a_program_that_ends_before_its_first_line_is_told_of(daemon: Daemon, here: Starter) -> None:
    ours = here.run(daemon, ("--profile",), "-c", "syntax error")
    plain = here.plain("-c", "syntax error")
    assert (ours.status, ours.stdout) == (plain.status, plain.stdout)
    assert ours.stderr == plain.stderr + "execctl: nothing was recorded: the program ended before its first line\n"
    version = here.run(daemon, ("--profile",), "-V")
    assert version.status == 2
