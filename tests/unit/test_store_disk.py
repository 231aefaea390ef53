"""The store's directory: private, held by one, and on a disk that fills up."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NoReturn

import pytest
import store_writer
from execd.errors import AlreadyRunning, StoreFull, StoreUnusable, UnsafeDirectory
from execd.model.session import State
from execd.store.full import disk_may_be_full
from execd.store.store import Store
from store_samples import a_profile, add_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TINY_DISK_BYTES = 2 << 20
TOO_MANY_NODES = 600_000  # some 3 MB, since the figures compress badly


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    options = f"size={TINY_DISK_BYTES},mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted here: {mounted.stderr.strip()}")
    yield directory
    # Lazily: a test that failed before it closed its store does not keep the mount.
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill_up(store: Store) -> list[str]:
    """Adds sessions' snapshots until the disk is full, and returns their ids."""
    session = add_session(store)
    stored: list[str] = []
    for _ in range(TINY_DISK_BYTES // 4096):
        try:
            added = store.add_profile(a_profile(nodes=5000), session=session.id, reason="snapshot")
        except StoreFull:
            return stored
        stored.append(added.id)
    pytest.fail("the disk did not fill up")


def modes_below(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.rglob("*")}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_directories_and_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store.open(tmp_path / "data")
        store.add_profile(a_profile(), session=add_session(store).id, reason="snapshot")
        digest = store.add_source(b"pass")
        modes = modes_below(tmp_path)
        store.close()
    finally:
        os.umask(before)
    directories = {"data", "profiles", "sources", "quarantine"}
    assert {modes.pop(name) for name in directories} == {0o700}
    assert set(modes) >= {"execd.db", "execd.db-wal", "lock", "p1.profile", digest}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_directory_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(UnsafeDirectory, match=f"{mode:04o}") as caught:
        Store.open(directory)
    assert caught.value.remedy.endswith(f"if nobody else needs it, chmod 700 {directory}")
    assert list(directory.iterdir()) == []


def test_an_open_directory_inside_is_refused_and_the_claim_given_up(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "profiles").chmod(0o755)
    with pytest.raises(UnsafeDirectory, match="profiles"):
        Store.open(tmp_path)
    (tmp_path / "profiles").chmod(0o700)
    Store.open(tmp_path).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12_345, 12_345)
    with pytest.raises(UnsafeDirectory, match="12345"):
        Store.open(directory)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(UnsafeDirectory):
        Store.open(tmp_path / "data")


def test_a_second_store_on_the_directory_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(AlreadyRunning) as caught:
        Store.open(tmp_path)
    assert caught.value.facts["pid"] == str(os.getpid())
    store.close()
    Store.open(tmp_path).close()


def test_another_process_is_refused_while_the_first_lives_and_not_after_its_kill(tmp_path: Path) -> None:
    command = [sys.executable, store_writer.__file__, str(tmp_path)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "s1\n"
        with pytest.raises(AlreadyRunning) as caught:
            Store.open(tmp_path)
        writer.kill()
    assert caught.value.facts["pid"] == str(writer.pid)
    Store.open(tmp_path).close()


def test_a_profile_that_would_use_the_reserve_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path, reserve_bytes=2**60)
    session = add_session(store)
    with pytest.raises(StoreFull, match="reserved"):
        store.add_profile(a_profile(), session=session.id, reason="snapshot")
    with pytest.raises(StoreFull, match=f"disk of {tmp_path} takes no more: [0-9]+ bytes are free, 65536 are needed"):
        store.check_room()
    assert list((tmp_path / "profiles").iterdir()) == []
    store.close()


def test_a_full_disk_is_named_and_nothing_half_written_stays(tiny_disk: Path) -> None:
    store = Store.open(tiny_disk, reserve_bytes=0)
    session = add_session(store)
    with pytest.raises(StoreFull) as caught:
        store.add_profile(a_profile(nodes=TOO_MANY_NODES), session=session.id, reason="snapshot")
    assert caught.value.facts["directory"] == str(tiny_disk)
    assert "--data-dir" in caught.value.remedy
    assert list((tiny_disk / "profiles").iterdir()) == []
    assert store.stored_profiles() == []
    store.close()


def test_a_disk_that_fills_while_the_file_is_written_leaves_nothing_half_written(
    tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another program takes the space between the question for free bytes and the write.
    monkeypatch.setattr("execd.store.store.check_free_bytes", lambda *_: None)
    store = Store.open(tiny_disk, reserve_bytes=0)
    session = add_session(store)
    with pytest.raises(StoreFull, match="No space left"):
        store.add_profile(a_profile(nodes=TOO_MANY_NODES), session=session.id, reason="snapshot")
    assert list((tiny_disk / "profiles").iterdir()) == []
    store.close()


def test_after_a_full_disk_everything_stored_is_there_and_deleting_makes_room(tiny_disk: Path) -> None:
    store = Store.open(tiny_disk, reserve_bytes=0)
    stored = fill_up(store)
    assert [store.load(profile) for profile in stored] == [a_profile(nodes=5000)] * len(stored)
    for profile in stored[:10]:
        store.delete(profile)
    session = add_session(store)
    assert store.add_profile(a_profile(nodes=5000), session=session.id, reason="final").session == session.id
    store.close()
    store = Store.open(tiny_disk, reserve_bytes=0)
    store.close()
    assert store.recovery.quarantined == ()


def test_a_disk_without_a_byte_left_lets_profiles_be_deleted(tiny_disk: Path) -> None:
    store = Store.open(tiny_disk, reserve_bytes=0)
    stored = fill_up(store)
    with (tiny_disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
        ballast.writelines([bytes(4096)] * (TINY_DISK_BYTES // 4096))
    for profile in stored:
        store.delete(profile)
    assert store.stored_profiles() == []
    store.close()


def test_the_reserve_lets_a_session_end_in_order_on_a_full_disk(tiny_disk: Path) -> None:
    store = Store.open(tiny_disk, reserve_bytes=512 * 1024)
    fill_up(store)
    store.audit(1, "stop", 2, "store full")
    assert store.audit_entries()[0].outcome == "store full"
    assert store.session("s1").state is State.STARTING
    store.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS])
def test_a_failed_rename_is_named_and_leaves_neither_file_nor_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    store = Store.open(tmp_path)
    session = add_session(store)
    with monkeypatch.context() as patched:
        patched.setattr("execd.store.store.publish", fail)
        with pytest.raises(StoreFull, match=os.strerror(code)):
            store.add_profile(a_profile(), session=session.id, reason="snapshot")
    assert list((tmp_path / "profiles").iterdir()) == []
    assert store.stored_profiles() == []
    assert store.add_profile(a_profile(), session=session.id, reason="snapshot").id == "p1"
    store.close()


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOENT, errno.EMFILE, errno.EPERM])
def test_a_directory_out_of_reach_is_named_so(tmp_path: Path, code: int) -> None:
    with pytest.raises(StoreUnusable, match=f"below {tmp_path}") as caught, disk_may_be_full(tmp_path):
        raise OSError(code, os.strerror(code))
    assert "may write to it" in caught.value.remedy


def test_a_profiles_folder_that_was_moved_away_is_out_of_reach(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    session = add_session(store)
    (tmp_path / "profiles").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnusable):
        store.add_profile(a_profile(), session=session.id, reason="snapshot")
    (tmp_path / "elsewhere").rename(tmp_path / "profiles")
    assert store.add_profile(a_profile(), session=session.id, reason="snapshot").id == "p1"
    store.close()


def test_an_error_that_is_not_the_disk_s_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), disk_may_be_full(tmp_path):
        raise FileExistsError(errno.EEXIST, "no")
    connection = sqlite3.connect(":memory:")
    with closing(connection), pytest.raises(sqlite3.OperationalError), disk_may_be_full(tmp_path):
        connection.execute("SELECT nothing")


def test_opening_on_a_full_disk_says_so(tiny_disk: Path) -> None:
    (tiny_disk / "ballast").write_bytes(bytes(TINY_DISK_BYTES - 4096))
    with pytest.raises(StoreFull):
        Store.open(tiny_disk)


@pytest.mark.parametrize("limit_bytes", [16_384, 262_144])
def test_a_file_size_limit_stops_the_store_and_leaves_what_was_acknowledged(tmp_path: Path, limit_bytes: int) -> None:
    command = [sys.executable, store_writer.__file__, str(tmp_path), str(limit_bytes)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    _, *acknowledged, last = done.stdout.split("\n")[:-1]
    assert last == store_writer.FULL
    store = Store.open(tmp_path)
    assert store.recovery.quarantined == ()
    for line in acknowledged:
        stored, nodes = line.split()
        assert store.load(stored) == a_profile(nodes=int(nodes))
    store.close()
