"""The Python API on real processes: what it records, stores and leaves, and that docs/api.md says what is so."""

from __future__ import annotations

import os
import pickle
import pstats
import re
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import execctl
import pytest
from execctl import errors
from footprint import footprint, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from daemons import Daemon
    from interpreters import Interpreter

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
TARGETS = Path(__file__).parents[1] / "targets"
CHURNED = 5000
LEAKED = 64
COUNTS = {("/srv/a.py", 3): 7}
TIMEOUT_S = 30.0
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def client(daemon: Daemon) -> Iterator[execctl.Client]:
    with daemon.client() as opened:
        yield opened


def await_orders(service: subprocess.Popen[bytes], count: int) -> None:
    """Waits until a service has done so many orders more than it tells of first."""
    assert service.stdout is not None
    first = done = int(service.stdout.readline().split()[0])
    while done < first + count:
        done = int(service.stdout.readline().split()[0])


@pytest.fixture
def orders(local_interpreter: Interpreter) -> Iterator[subprocess.Popen[bytes]]:
    """A service that handles orders."""
    command = [*local_interpreter.argv, os.fspath(TARGETS / "orders.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as service:
        try:
            await_orders(service, 1)
            yield service
        finally:
            service.kill()


def test_the_end_of_the_block_leaves_the_process_whatever_happens(
    client: execctl.Client, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "allocating")
    before = footprint(program.pid)

    def record() -> None:
        with client.attach(program.pid, memory=True, nframe=3, name="doomed") as recording:
            assert [one.state for one in client.sessions()] == ["running"]
            assert recording.target.pid == program.pid
            raise KeyError("of the caller's")

    with pytest.raises(KeyError, match="of the caller's"):
        record()
    assert settled(program.pid, before) == before
    assert client.sessions() == []
    newest = client.sessions(with_ended=True)[0]
    assert (newest.name, newest.state, newest.options["nframe"]) == ("doomed", "stopped", 3)
    assert client.profile(newest.latest_profile, execctl.MemoryProfile).traceback_limit == 3


def test_an_agent_that_was_there_before_stays(
    client: execctl.Client, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "allocating")
    first = client.attach(program.pid, profile=True)
    with client.attach(program.pid, memory=True) as second:
        assert (first.attachment.joined, second.attachment.joined) == (False, True)
    assert [one.collector for one in client.sessions()] == ["calls"]
    assert [one.collector for one in client.start(program.pid, listfuncs=True)] == ["functions"]
    first.end()
    assert [one.collector for one in client.sessions()] == ["functions"]
    left = client.detach(program.pid)
    assert (left.was_attached, [one.state for one in left.sessions]) == (True, ["stopped"])
    assert not client.detach(program.pid).was_attached


def test_memory_as_a_value_is_what_the_export_holds(
    client: execctl.Client, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "allocating")
    with client.attach(program.pid, memory=True, nframe=4) as recording:
        program.ask(f"churn {CHURNED}")
        (before,) = recording.snapshot("before")
        size = program.ask_json(f"leak {LEAKED}")
        live = client.memory(program.pid)
        assert 0 < live.traced_bytes <= live.peak_bytes
        (after,) = recording.snapshot("after")
        grown = client.growth(before.session, last=2)
    earlier, later = (client.profile(one.id, execctl.MemoryProfile) for one in (before, after))
    first = later.compare_to(earlier)[0]
    assert (first.count_diff, first.size_diff_bytes) == (LEAKED, LEAKED * size)
    assert first.traceback[-1].filename.endswith("allocating.py")
    told = client.diff(before.id, after.id)
    assert isinstance(told, execctl.MemoryComparison)
    assert (told.changes[0].count_diff, told.changes[0].traceback) == (LEAKED, first.traceback)
    later.write(tmp_path / "snapshot", "tracemalloc")
    loaded = tracemalloc.Snapshot.load(os.fspath(tmp_path / "snapshot"))
    for by in ("filename", "lineno", "traceback"):
        assert later.to_tracemalloc().statistics(by) == loaded.statistics(by)
    assert grown.things[0].size_diff_bytes == LEAKED * size


def test_calls_as_a_value_are_what_the_export_holds(
    client: execctl.Client, orders: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with client.attach(orders.pid, profile=True, trackcalls=True, labels={"of": "a test"}) as recording:
        await_orders(orders, 10)
    profile = client.profile(recording.sessions[0].latest_profile, execctl.CallProfile, settings={"bias": 0})
    profile.write(tmp_path / "calls", "pstats")
    assert profile.to_pstats().stats == pstats.Stats(os.fspath(tmp_path / "calls")).stats  # type: ignore[attr-defined]
    (handle,) = profile.named("handle")
    assert handle.calls > 0
    assert {one.name for one in handle.callees} >= {"parse", "total", "render"}
    relations = recording.profile(execctl.CallersProfile).relations
    assert ("work", "handle") in {(one.caller.name, one.callee.name) for one in relations}
    assert {one.collector for one in client.profiles(labels={"of": "a test"})} == {"calls", "callers"}
    with pytest.raises(TypeError, match="is a CallProfile, and no MemoryProfile"):
        client.profile(profile.id, execctl.MemoryProfile)
    with pytest.raises(errors.NotFound, match="MemoryProfile"):
        recording.profile(execctl.MemoryProfile)


def test_a_program_that_is_run_is_recorded_whole(client: execctl.Client, tmp_path: Path) -> None:
    script = tmp_path / "prog.py"
    script.write_text("import sys\nfor one in range(3):\n    pass\nprint(sys.argv[1:])\nsys.exit(7)\n")
    program = client.run(
        [os.fspath(script), "a"],
        python=sys.executable,
        count=True,
        listfuncs=False,
        popen={"stdout": subprocess.PIPE, "cwd": tmp_path},
    )
    told, _ = program.process.communicate(timeout=TIMEOUT_S)
    assert (told, program.wait()) == (b"['a']\n", 7)
    counts = program.profile(execctl.LineProfile).counts
    assert [counts.get((os.fspath(script), line), 0) for line in range(1, 6)] == [1, 4, 3, 1, 1]
    assert [one.state for one in program.outcome().sessions] == ["stopped"]


def test_a_closed_client_says_so(daemon: Daemon) -> None:
    client = daemon.client()
    client.close()
    client.close()
    with pytest.raises(errors.Closed):
        client.sessions()


def test_the_errors_of_the_daemon_are_of_their_classes(client: execctl.Client) -> None:
    with pytest.raises(errors.NotFound) as caught:
        client.profile("p4711")
    assert caught.value.exit_code == 9
    assert caught.value.remedy
    with pytest.raises(TypeError, match="True"):
        client.detach(True)
    with pytest.raises(ValueError, match="2 to 1000"):
        client.merge("p1")


def test_what_cannot_be_right_is_refused_before_anything_is_asked(client: execctl.Client) -> None:
    with pytest.raises(ValueError, match="49 days"):
        client.attach(1, profile=True, timeout_s=-1)
    with pytest.raises(errors.UsageError, match="duration_s is a number of seconds from 0 to 49 days, and not None"):
        client.attach(1, profile=True, duration_s=None)  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="name may be a text, and not 3"):
        client.attach(1, profile=True, name=3)  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="clock may be 'wall' or 'cpu', and not 'foo'"):
        client.prepare(["prog.py"], [execctl.SessionSpec("calls", {"clock": "foo"})])
    with pytest.raises(errors.UsageError, match="and not 3"):
        client.run([3], profile=True)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="said twice"):
        client.attach(1, [execctl.SessionSpec("calls")], profile=True)
    with pytest.raises(TypeError, match=r"say \['prog.py'\]"):
        client.run("prog.py", profile=True)
    with pytest.raises(TypeError, match=r"say \['p2'\]"):
        client.profile("p1", added="p2")
    with pytest.raises(ValueError, match="'tree'"):
        client.report("p1", view="tree")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="exclude each other"):
        client.memory(1, clear=True, reset_peak=True)
    with pytest.raises(ValueError, match="name a process"):
        client.calibrate()


def test_files_that_cannot_be_read_or_written_are_told_with_their_path(client: execctl.Client, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such"
    for path, why in ((missing, "No such file"), (tmp_path, "Is a directory"), (f"{tmp_path}/a\0b", "null byte")):
        with pytest.raises(errors.UsageError, match=why) as unread:
            client.import_(path)
        assert os.fspath(path) in unread.value.message
        assert unread.value.remedy
    (counts,) = client.import_(os.fsencode(write_counts(tmp_path / "counts")))  # type: ignore[arg-type]
    profile = client.profile(counts.id)
    for path in (os.fspath(missing), os.fspath(tmp_path), f"{tmp_path}/a\0b"):
        with pytest.raises(errors.CannotWrite) as unwritten:
            profile.write(path, "json")
        assert unwritten.value.remedy
    with pytest.raises(errors.NotSupported, match=f"{missing}: No such file"):
        client.run(["-c", ""], profile=True, popen={"cwd": missing})


def test_no_daemon_is_told_and_none_is_started_where_none_may_be(tmp_path: Path) -> None:
    with pytest.raises(errors.NoDaemon, match="no daemon listens"):
        execctl.Client(tmp_path / "s", may_start=False)


def test_the_examples_of_the_page_run(
    daemon: Daemon,
    orders: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EXECD_SOCKET", os.fspath(daemon.socket))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"pid": orders.pid}
    examples = EXAMPLE.findall(PAGE.read_text("utf-8"))
    assert len(examples) > 4
    for number, text in enumerate(examples):
        exec(compile(text, f"{PAGE}, example {number}", "exec"), names)  # noqa: S102 - the page's own
    said = capsys.readouterr().out
    assert "tax_percent) 0" not in said
    assert "function calls" in said
    assert "b'0\\n1\\n2\\n' prog {1: 4, 2: 3}" in said
    assert "no-such-profile" in said
    assert "nothing to record: give a mode" in said


def test_what_else_the_command_line_can_do(
    client: execctl.Client, local_interpreter: Interpreter, spawn: Spawn, tmp_path: Path
) -> None:
    program = spawn(local_interpreter, "allocating")
    assert client.doctor(program.pid).exit_code == 0
    (found,) = [one for one in client.processes() if one.pid == program.pid]
    assert (found.attached, found.reason) == (False, "")
    program.ask_json("kinds 300")
    (kept,) = [one for one in client.census(program.pid).types if one.type.endswith(".Kept")]
    assert kept.count == 300
    with client.attach(program.pid, memory=True, trace=True) as recording:
        assert client.session(recording.sessions[0].id).state == "running"
        program.ask(f"leak {LEAKED}")
        where = client.memory(program.pid, where="bytearray", confirmed=True)
    told = "".join(lines.text for lines in client.follow(recording.sessions[0].id))
    assert " --- modulename: allocating, funcname: leak" in told
    events = recording.profile(execctl.TraceProfile).events
    assert "leak" in {event.function for event in events if event.kind == "call"}
    assert where.count >= len(where.objects)
    memory = recording.sessions[1].latest_profile
    assert client.rename(memory, "of the leak") == memory
    assert client.label(memory, {"kind": "leak"}).labels == {"kind": "leak"}
    assert [one.name for one in client.profiles(labels={"kind": "leak"})] == ["of the leak"]
    names = client.profile(memory).render("collapsed")
    assert b"allocating.py" in names
    client.remove(memory)
    with pytest.raises(errors.NotFound):
        client.profile(memory)
    (imported,) = client.import_(write_counts(tmp_path / "counts"))
    assert client.profile(imported.id, execctl.LineProfile).counts == COUNTS


def write_counts(file: Path) -> Path:
    """Writes what `trace` would."""
    file.write_bytes(pickle.dumps((COUNTS, {}, {})))
    return file


def test_a_process_that_ends_meanwhile_is_no_error_of_the_block(
    client: execctl.Client, local_interpreter: Interpreter, spawn: Spawn
) -> None:
    program = spawn(local_interpreter, "allocating")
    with client.attach(program.pid, profile=True) as recording:
        recording.snapshot("alive")
        os.kill(program.pid, signal.SIGKILL)
        recording.wait(TIMEOUT_S)
    assert [one.state for one in recording.sessions] == ["target_gone"]
    assert recording.profile(execctl.CallProfile).origin.pid == program.pid
