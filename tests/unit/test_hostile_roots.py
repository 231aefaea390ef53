"""Roots and directories that another has laid out: what lies there is read as the target sees it, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.attach import rootfs
from execd.config import Config
from execd.errors import ExecdError, UnsafeDirectory
from execd.instance import Instance
from processes import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 2.0
SPARSE = 1 << 40
NOBODY = 65534
CHROOTED = "import os, sys; os.chroot(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="chroot and chown are root's")


@contextmanager
def chrooted(root: Path) -> Iterator[int]:
    """A process with another root."""
    with running(sys.executable, "-c", CHROOTED, str(root)) as pid:
        yield pid


def deep(path: Path) -> None:
    """A way through 40 links is the longest that the kernel goes."""
    for number in range(50):
        path.with_name(f"step{number}").symlink_to(f"step{number + 1}")
    path.symlink_to("step0")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(SPARSE)


HOST_FILE = "/etc/passwd"
LAID_OUT: dict[str, Callable[[Path], object]] = {
    "a link to a file of the host": lambda path: path.symlink_to(HOST_FILE),
    "a link that climbs out": lambda path: path.symlink_to("../" * 40 + HOST_FILE[1:]),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link without end": deep,
    "a link through its own root": lambda path: path.symlink_to(f"/proc/self/root{HOST_FILE}"),
    "a pipe": os.mkfifo,
    "a socket": listening,
    "a folder": lambda path: path.mkdir(),
    "an endless device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
    "a terminal": lambda path: os.mknod(path, 0o20666, os.makedev(5, 0)),
    "a huge sparse file": sparse,
}


@NEEDS_ROOT
@pytest.mark.parametrize("what", LAID_OUT)
def test_what_lies_in_a_hostile_root_is_not_opened(tmp_path: Path, what: str) -> None:
    LAID_OUT[what](tmp_path / "libpython3.so")
    with chrooted(tmp_path) as pid:
        began = time.monotonic()
        with pytest.raises(FileNotFoundError):
            rootfs.open_in_root(pid, "/libpython3.so")
        assert time.monotonic() - began < SECONDS


@NEEDS_ROOT
@pytest.mark.parametrize("way", ["/link/lib.so", "/link/../link/lib.so", "/../../../lib/lib.so", "lib/lib.so"])
def test_the_targets_own_file_is_what_its_links_lead_to(tmp_path: Path, way: str) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "lib.so").write_text("the target's")
    (tmp_path / "link").symlink_to("/lib")
    with chrooted(tmp_path) as pid:
        descriptor = rootfs.open_in_root(pid, way)
        assert os.read(descriptor, 100) == b"the target's"
        os.close(descriptor)


@pytest.mark.parametrize("path", ["", "/" + "x" * 300, "/x" * 4000, "/\udcff\u202e", "/" + "../" * 2000])
def test_a_path_that_leads_nowhere_is_none(path: str) -> None:
    with pytest.raises((FileNotFoundError, ExecdError)):
        rootfs.open_in_root(os.getpid(), path)


def test_a_file_that_another_holds_a_lease_on_is_not_waited_for(tmp_path: Path) -> None:
    """Who opens it waits for up to 45 s (fs.lease-break-time), unless he says that he does not."""
    path = tmp_path / "leased"
    path.write_text("x")
    with path.open("r+b") as held:
        # The kernel's word that somebody came; the usual signal ends a process.
        fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        began = time.monotonic()
        with pytest.raises(FileNotFoundError):
            rootfs.open_in_root(os.getpid(), str(path))
        assert time.monotonic() - began < SECONDS


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may write in; pytest's own have paths that are too long for a socket."""
    made = Path(tempfile.mkdtemp(prefix="ex"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@NEEDS_ROOT
@pytest.mark.parametrize("place", ["data", "run"])
@pytest.mark.parametrize("level", [0, 1])
def test_another_users_link_to_a_directory_of_ours_is_refused(shared: Path, place: str, level: int) -> None:
    """What it leads to is ours and private now; it may lead to a directory of his once the daemon runs."""
    own = shared / "own"
    (own / "below").mkdir(mode=0o700, parents=True)
    own.chmod(0o700)
    link = shared / place
    link.symlink_to(own)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    places = {"data": shared / "data-of-ours", "run": shared / "run-of-ours", place: link / "below" if level else link}
    with pytest.raises(UnsafeDirectory, match=f"symbolic link of user {NOBODY}"):
        Instance(Config(places["data"], places["run"] / "s"))
    assert [path.name for path in own.iterdir()] == ["below"]


@pytest.mark.parametrize("name", ["s", "s.lock"])
def test_a_link_in_the_place_of_the_socket_or_its_lock_is_not_followed(shared: Path, name: str) -> None:
    """The directory is the daemon's own, so that only he himself can have put it there."""
    run, victim = shared / "run", shared / "victim"
    run.mkdir(mode=0o700)
    victim.write_text("precious")
    (run / name).symlink_to(victim)
    with pytest.raises((ExecdError, OSError)):
        Instance(Config(shared / "data", run / "s"))
    assert victim.read_text() == "precious"


def test_a_link_of_ones_own_is_followed(shared: Path) -> None:
    own = shared / "own"
    own.mkdir(mode=0o700)
    (shared / "link").symlink_to(own)
    with Instance(Config(shared / "link", shared / "run" / "s")):
        assert own.is_dir()
