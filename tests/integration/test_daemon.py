"""`execd start`, `stop` and `status` as real processes: one daemon, whatever happened to the last one."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest
from execd.config import Config
from execd.instance import holder
from execd.rpc import peer
from execd_api.v1 import daemon_pb2, daemon_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 30.0
NO_DAEMON = 3
# What the daemon promises after SIGTERM.
END_S = 5.0

# The daemon, with a part that never lets itself be closed.
HANGS_AT_ITS_END = """
import threading
from execd import __main__

build = __main__.build

def hang_for_the_test():
    threading.Event().wait()

def build_with_a_part_that_hangs(config, log, shut_down, closing):
    closing.callback(hang_for_the_test)
    return build(config, log, shut_down, closing)

__main__.build = build_with_a_part_that_hangs
__main__.main()
"""


@dataclass
class Place:
    """Where a test's daemons live, and the command line that runs there."""

    config: Config

    def environment(self) -> dict[str, str]:
        """This test's own import path, and nothing that names another daemon."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EXECD_", "XDG_"))}
        return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def command(self, *words: str) -> list[str]:
        """`execd` with this place's flags."""
        flags = ["--socket", os.fspath(self.config.socket), "--data-dir", os.fspath(self.config.data_dir)]
        return [sys.executable, "-m", "execd", *words, *flags]

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
            env=self.environment(),
            **more,
        )

    def status(self) -> dict[str, Any]:
        """What `execd status --json` says."""
        answer: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return answer

    def pid(self) -> int:
        """The PID of the daemon that holds the place."""
        pid = holder(self.config.socket_lock)
        assert pid is not None
        return pid

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [json.loads(line) for line in self.config.log.read_text().splitlines()]


@pytest.fixture
def place() -> Iterator[Place]:
    # pytest's own directories have paths that are too long for a socket.
    root = Path(tempfile.mkdtemp(prefix="ex"))
    yield Place(Config(root / "data", root / "run" / "s"))
    if pid := holder(root / "run" / "s.lock"):
        with gone(pid):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(root)


@dataclass
class gone:  # noqa: N801 - reads as a statement: `with gone(pid): ...`
    """Waits, at its end, until a process is no more; knows how long that took, in seconds."""

    pid: int
    took_s: float = 0.0

    def __enter__(self) -> Self:
        self._descriptor = os.pidfd_open(self.pid)
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        ended = select.select([self._descriptor], [], [], WAIT_S)[0]
        os.close(self._descriptor)
        self.took_s = time.monotonic() - self._began
        assert ended, f"process {self.pid} goes on"


def test_a_start_returns_when_the_daemon_serves(place: Place) -> None:
    started = place.run("start")
    assert (started.returncode, started.stderr) == (0, "")
    pid = place.pid()
    assert started.stdout == f"execd runs: PID {pid}, socket {place.config.socket}\n"
    assert place.status() == {
        "running": True,
        "serving": True,
        "pid": pid,
        "version": "0.1.0",
        "data_dir": os.fspath(place.config.data_dir),
        "socket": os.fspath(place.config.socket),
        "started_at": pytest.approx(time.time(), abs=WAIT_S),
        "attached_targets": 0,
        "running_sessions": 0,
        "stored_profiles": 0,
        "store_bytes": 0,
        "keep_days": 30.0,
        "keep_bytes": 2 << 30,
        "quarantined": [],
    }


def test_the_environment_stands_for_the_flags(place: Place) -> None:
    environment = place.environment() | {
        "EXECD_SOCKET": os.fspath(place.config.socket),
        "EXECD_DATA_DIR": os.fspath(place.config.data_dir),
    }
    command = [sys.executable, "-m", "execd", "start"]
    subprocess.run(command, check=True, env=environment, timeout=WAIT_S, stdout=subprocess.DEVNULL)
    assert place.status()["serving"]


def test_a_background_daemon_keeps_nothing_of_its_terminal(place: Place) -> None:
    reader, writer = os.pipe()
    place.run("start", pass_fds=[writer])
    os.close(writer)
    assert os.read(reader, 1) == b"", "the daemon holds a descriptor of the shell that started it"
    os.close(reader)
    pid = place.pid()
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    stdio = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]
    assert stdio == [Path("/dev/null"), place.config.log, place.config.log]


def test_everything_it_makes_is_for_its_user_alone(place: Place) -> None:
    place.run("start", umask=0)
    paths = [place.config.socket.parent, *place.config.data_dir.parent.rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert modes[place.config.socket.name] == 0o600


def test_a_second_start_names_the_first(place: Place) -> None:
    place.run("start")
    pid = place.pid()
    second = place.run("start")
    assert second.returncode == 0
    assert second.stdout == f"execd already runs: PID {pid}, socket {place.config.socket}\n"
    assert place.pid() == pid


def test_a_second_start_in_the_foreground_is_no_failure(place: Place) -> None:
    place.run("start")
    second = place.run("start", "--foreground")
    assert second.returncode == 0
    assert second.stderr.startswith(f"execd: execd already runs: PID {place.pid()}")


def test_of_many_starts_at_once_one_serves_and_all_name_it(place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        starts = [future.result() for future in [pool.submit(place.run, "start") for _ in range(4)]]
    words = [start.stdout.partition(": ") for start in starts]
    assert [start.returncode for start in starts] == [0] * 4
    assert {rest for _, _, rest in words} == {f"PID {place.pid()}, socket {place.config.socket}\n"}
    assert sorted(verb for verb, _, _ in words) == ["execd already runs"] * 3 + ["execd runs"]
    assert [line["message"] for line in place.log() if line["message"] == "execd serves"] == ["execd serves"]


def test_a_daemon_on_another_socket_does_not_get_the_data_directory(place: Place) -> None:
    place.run("start")
    other = Place(Config(place.config.data_dir, place.config.socket.parent / "deep" / "other"))
    refused = other.run("start", "--foreground")
    assert refused.returncode == 2
    assert str(place.pid()) in refused.stderr
    in_background = other.run("start")
    assert (in_background.returncode, in_background.stderr) == (2, refused.stderr)
    assert not other.config.socket.parent.exists()


def test_a_damaged_store_is_told_at_the_start_and_by_status(place: Place) -> None:
    place.run("start")
    place.run("stop")
    (place.config.data_dir / "execd.db").write_bytes(b"no database " * 1000)
    (place.config.data_dir / "profiles" / "of-nobody").write_bytes(b"?")
    started = place.run("start")
    assert (started.returncode, len(started.stdout.splitlines())) == (0, 1)
    assert "the store was not whole" in started.stderr
    assert "execd.db, of-nobody (files: 2)" in started.stderr
    assert place.status()["quarantined"] == ["execd.db", "of-nobody"]
    assert f"was moved to {place.config.quarantine} and is not listed" in place.run("status").stdout
    (told,) = [line for line in place.log() if "store was not whole" in line["message"]]
    assert told["facts"]["files"] == ["execd.db", "of-nobody"]
    assert place.run("start").stderr == ""


@pytest.mark.parametrize("words", [["start"], ["status"], ["stop"]])
def test_a_full_disk_behind_stdout_is_told(place: Place, words: list[str]) -> None:
    place.run("start")
    with Path("/dev/full").open("w") as full:
        command = place.command(*words)
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=place.environment(),
            timeout=WAIT_S,
        )
    assert (done.returncode, done.stderr) == (2, "execd: cannot write to standard output: No space left on device\n")


def test_stop_returns_when_the_process_is_gone(place: Place) -> None:
    place.run("start")
    pid = place.pid()
    stopped = place.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"execd ended: PID {pid}\n")
    with suppress(ProcessLookupError):
        # Only a zombie may be left, where nobody reaps.
        os.kill(pid, 0)
        assert "Z (zombie)" in Path(f"/proc/{pid}/status").read_text()
    assert not place.config.socket.exists()


def test_stop_is_idempotent(place: Place) -> None:
    stopped = place.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "execd does not run\n")


def test_status_tells_that_none_runs(place: Place) -> None:
    status = place.run("status")
    assert status.returncode == NO_DAEMON
    assert status.stdout.startswith("execd does not run\n")
    assert place.status()["running"] is False


def test_status_tells_of_a_daemon_that_is_stopped_and_stop_ends_it(place: Place) -> None:
    place.run("start")
    pid = place.pid()
    os.kill(pid, signal.SIGSTOP)
    status, stopped = place.run("status"), place.run("stop")
    assert status.returncode == NO_DAEMON
    assert status.stdout.startswith(f"execd runs and does not answer\npid: {pid}\n")
    assert (stopped.returncode, stopped.stdout) == (0, f"execd ended: PID {pid}\n")
    assert place.log()[-1]["facts"] == {"cause": "SIGTERM"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_foreground_daemon_in_time(place: Place, number: signal.Signals) -> None:
    process = subprocess.Popen(place.command("start", "--foreground"), env=place.environment())
    assert peer.serving(place.config.socket, WAIT_S) == process.pid
    with gone(process.pid) as end:
        process.send_signal(number)
    assert process.wait() == 0
    assert end.took_s < END_S
    assert place.log()[-1]["facts"] == {"cause": number.name}


def test_the_call_shutdown_ends_the_daemon_too(place: Place) -> None:
    place.run("start")
    pid = place.pid()
    with gone(pid), grpc.insecure_channel(f"unix:{place.config.socket}") as channel:
        answer = daemon_pb2_grpc.DaemonStub(channel).Shutdown(daemon_pb2.ShutdownRequest())
    assert answer == daemon_pb2.ShutdownResponse(pid=pid)
    assert place.log()[-1]["facts"] == {"cause": "Shutdown"}


def test_a_daemon_that_hangs_at_its_end_is_cut_off_in_time_and_says_where(place: Place) -> None:
    flags = place.command("start", "--foreground")[3:]
    command = [sys.executable, "-c", HANGS_AT_ITS_END, *flags]
    with subprocess.Popen(command, env=place.environment(), stderr=subprocess.PIPE, text=True) as process:
        assert peer.serving(place.config.socket, WAIT_S) == process.pid
        with gone(process.pid) as end:
            process.terminate()
        assert process.stderr is not None
        assert "in hang_for_the_test" in process.stderr.read()
    assert process.returncode == 1
    assert end.took_s < END_S + 0.5
    assert place.run("start").stdout.startswith("execd runs")


def test_a_killed_daemon_leaves_room_for_the_next(place: Place) -> None:
    place.run("start")
    killed = place.pid()
    with gone(killed):
        os.kill(killed, signal.SIGKILL)
    assert place.config.socket.exists()
    assert place.status()["running"] is False
    again = place.run("start")
    assert again.stdout.startswith("execd runs: PID")
    assert place.pid() != killed
    assert place.status()["serving"]


def test_a_start_while_the_last_daemon_ends_waits_for_its_turn(place: Place) -> None:
    place.run("start")
    first = place.pid()
    os.kill(first, signal.SIGTERM)
    assert place.run("start").returncode == 0
    assert place.status()["serving"]
    assert place.pid() != first


def test_a_stale_socket_without_lock_file_is_replaced(place: Place) -> None:
    place.config.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.fspath(place.config.socket))
    assert place.run("start").returncode == 0
    assert place.status()["serving"]


def test_a_living_socket_is_not_stolen_after_its_lock_file_was_removed(place: Place) -> None:
    place.run("start")
    pid = place.pid()
    place.config.socket_lock.unlink()
    second = place.run("start")
    assert second.stdout == f"execd already runs: PID {pid}, socket {place.config.socket}\n"
    with gone(pid):
        os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("words", [["start"], ["start", "--foreground"]])
def test_an_unsafe_directory_is_refused_with_the_remedy(place: Place, words: list[str]) -> None:
    place.config.socket.parent.mkdir()
    place.config.socket.parent.chmod(0o755)
    refused = place.run(*words)
    assert refused.returncode == 5
    assert refused.stderr.endswith(f"chmod 700 {place.config.socket.parent}\n")


def test_a_path_that_is_too_long_for_a_socket_is_refused_by_name(place: Place) -> None:
    path = place.config.socket.with_name("s" * 107)
    refused = Place(Config(place.config.data_dir, path)).run("start")
    assert refused.returncode == 2
    assert str(path) in refused.stderr


def test_a_daemon_that_cannot_start_shows_the_end_of_its_log(place: Place) -> None:
    place.config.data_dir.mkdir(mode=0o700)
    (place.config.data_dir / "execd.db").mkdir()
    failed = place.run("start")
    assert failed.returncode == 10
    assert os.fspath(place.config.log) in failed.stderr
    assert len(failed.stderr.splitlines()) > 1


def test_help_imports_no_grpc(place: Place) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "execd", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True, env=place.environment())
    assert "start" in shown.stdout
    assert "grpc" not in shown.stderr


def test_an_idle_daemon_is_small(place: Place) -> None:
    place.run("start")
    place.status()
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{place.pid()}/status").read_text().splitlines())
    resident_kib = int(fields["VmRSS"].split()[0])
    assert resident_kib <= 60 * 1024
