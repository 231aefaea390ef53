"""execd.instance: who may serve where."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.config import Config
from execd.errors import AlreadyRunning, UnsafeDirectory, UsageError
from execd.instance import Instance, holder

if TYPE_CHECKING:
    from collections.abc import Iterator

# Claims a place, says so, and keeps it until its stdin ends.
HOLDER = """
import sys
from pathlib import Path
from execd.config import Config
from execd.instance import Instance
with Instance(Config(Path(sys.argv[1]), Path(sys.argv[2]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def config() -> Iterator[Config]:
    # pytest's own directories have paths that are too long for a socket.
    root = Path(tempfile.mkdtemp(prefix="ex"))
    yield Config(root / "data", root / "run" / "s")
    shutil.rmtree(root)


@pytest.fixture
def other(config: Config) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, os.fspath(config.data_dir), os.fspath(config.socket)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def listen(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen()
    return listener


def test_the_directories_are_made_for_the_user_alone(config: Config) -> None:
    with Instance(config):
        modes = [path.stat().st_mode & 0o777 for path in (config.data_dir, config.socket.parent)]
    assert modes == [0o700, 0o700]


def test_a_claim_of_another_process_is_refused_and_named(config: Config, other: subprocess.Popen[str]) -> None:
    with pytest.raises(AlreadyRunning) as caught:
        Instance(config)
    assert caught.value.facts == {"pid": str(other.pid)}


def test_the_holder_is_known_from_outside(config: Config, other: subprocess.Popen[str]) -> None:
    assert holder(config.socket_lock) == other.pid


def test_asking_for_the_holder_does_not_take_the_lock(config: Config) -> None:
    with Instance(config):
        pass
    assert holder(config.socket_lock) is None
    with Instance(config):
        pass


def test_nobody_holds_what_was_never_claimed(config: Config) -> None:
    assert holder(config.socket_lock) is None


def test_a_killed_holder_holds_nothing(config: Config, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    assert holder(config.socket_lock) is None
    with Instance(config):
        pass


def test_the_socket_of_a_dead_daemon_is_removed(config: Config) -> None:
    listen(config.socket).close()
    assert config.socket.exists()
    with Instance(config):
        assert not config.socket.exists()


def test_a_living_socket_is_left_though_its_lock_file_was_removed(config: Config) -> None:
    with listen(config.socket), pytest.raises(AlreadyRunning) as caught:
        Instance(config)
    assert caught.value.facts == {"pid": str(os.getpid())}
    assert config.socket.exists()


def test_a_file_at_the_sockets_path_is_refused_and_left(config: Config) -> None:
    config.socket.parent.mkdir()
    config.socket.parent.chmod(0o700)
    config.socket.write_text("mine")
    with pytest.raises(UsageError, match="no socket"):
        Instance(config)
    assert config.socket.read_text() == "mine"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777, 0o701])
@pytest.mark.parametrize("name", ["data", "run"])
def test_a_directory_that_is_open_to_others_is_refused(config: Config, name: str, mode: int) -> None:
    path = config.data_dir.parent / name
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(UnsafeDirectory, match="open to other users") as caught:
        Instance(config)
    assert caught.value.remedy.endswith(f"if nobody else needs it, chmod 700 {path}")


def test_a_directory_of_another_user_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UnsafeDirectory, match="belongs to user"):
        Instance(config)


def test_a_directory_that_cannot_be_made_is_refused_by_name(config: Config) -> None:
    config.data_dir.write_text("a file in its place")
    with pytest.raises(UnsafeDirectory, match="cannot make the directory"):
        Instance(config)


def test_a_claim_that_is_withdrawn_leaves_what_was_there_and_what_others_use(config: Config) -> None:
    run = config.socket.parent
    with Instance(config) as claim:
        claim.withdraw()
    assert not run.exists()
    run.mkdir(mode=0o700)
    config.socket_lock.touch()
    with Instance(config) as claim:
        claim.withdraw()
    assert config.socket_lock.exists()
    config.socket_lock.unlink()
    with Instance(config) as claim:
        (run / "of another").touch()
        claim.withdraw()
    assert [path.name for path in run.iterdir()] == ["of another"]


def test_a_claim_is_of_the_file_that_is_there(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the opening of the lock file and its lock another claim may have been withdrawn, with the file."""
    lock, taken = fcntl.lockf, []

    def removed_meanwhile(descriptor: int, how: int) -> None:
        if not taken:
            config.socket_lock.unlink()
        taken.append(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "lockf", removed_meanwhile)
    with Instance(config) as claim:
        assert len(taken) == 2
        claim.withdraw()
    assert not config.socket.parent.exists()
