"""Cgroups of the tests' own: a limit around a target, taken away again whatever happens."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path("/sys/fs/cgroup")
EMPTY_S = 10.0
STATE_S = 5.0
_NUMBERS = count()


@dataclass(frozen=True)
class Cgroup:
    """A group without processes; `files` names limit and use as its version of cgroups does."""

    folder: Path
    limit_file: str
    used_file: str

    def take(self, pid: int) -> None:
        """Moves a process into it; what it has is counted from then on."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def limit(self, value: int) -> None:
        """Sets the limit: bytes, or processes."""
        (self.folder / self.limit_file).write_text(str(value))

    @property
    def used(self) -> int:
        """How much of it is used."""
        return int((self.folder / self.used_file).read_text())

    def stat(self, name: str) -> int:
        """A figure of memory.stat or memory.events, 0 where there is none."""
        for file in ("memory.stat", "memory.events", "memory.oom_control"):
            path = self.folder / file
            lines = path.read_text().splitlines() if path.exists() else []
            found = [line.split()[1] for line in lines if line.split()[0] == name]
            if found:
                return int(found[0])
        return 0


FILES = {
    ("memory", 1): ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("memory", 2): ("memory.max", "memory.current"),
    ("pids", 1): ("pids.max", "pids.current"),
    ("pids", 2): ("pids.max", "pids.current"),
}


@contextmanager
def cgroup(controller: str) -> Iterator[Cgroup]:
    """A group under "memory" or "pids"; the test is skipped where none can be made."""
    version = 1 if (ROOT / controller).is_dir() else 2
    folder = (ROOT / controller if version == 1 else ROOT) / f"execd-test-{os.getpid()}-{next(_NUMBERS)}"
    limit_file, used_file = FILES[controller, version]
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if not (folder / limit_file).exists():
            pytest.skip(f"there is no cgroup controller {controller} here")
        yield Cgroup(folder, limit_file, used_file)
    finally:
        # What is left goes to the group above, or a folder would stay.
        for pid in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(pid)
        assert becomes(lambda: removed(folder), EMPTY_S)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Keeps a process frozen by a group of version 2; the test is skipped where none can be made."""
    root = _root_of_version_2()
    folder = root / f"execd-test-{os.getpid()}-{next(_NUMBERS)}"
    try:
        folder.mkdir()
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        pytest.skip(f"no cgroup of version 2 can be made here: {error}")
    try:
        (folder / "cgroup.freeze").write_text("1")
        assert becomes(lambda: "frozen 1" in (folder / "cgroup.events").read_text().splitlines(), STATE_S)
        yield
    finally:
        (folder / "cgroup.freeze").write_text("0")
        (root / "cgroup.procs").write_text(str(pid))
        assert becomes(lambda: removed(folder), EMPTY_S)


def _root_of_version_2() -> Path:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    if not found:
        pytest.skip("cgroups of version 2 are not mounted here")
    return found[0]


def removed(folder: Path) -> bool:
    """Removes a group; whether it is gone: one that has lost its last process an instant ago is busy still."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
