"""How much memory a process may still take: by its own limit, and by its cgroups."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from execd.attach import headroom, process
from execd.attach.headroom import memory_headroom
from execd.errors import NotSupported

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2); print(flush=True); input()"
)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hierarchy of each version in a folder."""
    monkeypatch.setattr(headroom, "_V1", headroom._Controller(str(tmp_path / "memory"), "limit", "used"))  # noqa: SLF001
    monkeypatch.setattr(headroom, "_V2", headroom._Controller(str(tmp_path), "max", "current"))  # noqa: SLF001
    return tmp_path


def in_groups(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let a process be in these cgroups, with no limit of its own."""
    read = process.read_file
    monkeypatch.setattr(
        process, "read_file", lambda path: text.encode() if str(path).endswith("/cgroup") else read(path)
    )
    monkeypatch.setattr(process, "limit", lambda _pid, _name: None)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")


def test_a_limit_of_the_address_space_leaves_what_is_not_mapped() -> None:
    with subprocess.Popen(
        [sys.executable, "-Ic", LIMITED, str(1024 * MIB)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as limited:
        assert limited.stdout is not None
        limited.stdout.readline()
        room = memory_headroom(limited.pid)
        mapped = sum(one.end - one.start for one in process.mappings(limited.pid))
        limited.kill()
    assert room is not None
    assert abs(room - (1024 * MIB - mapped)) < MIB


@pytest.mark.parametrize(("line", "folder", "names"), [("0::/a/b", "", "v2"), ("5:cpu,memory:/a/b", "memory", "v1")])
def test_the_nearest_limit_of_a_cgroup_and_those_above_it_counts(
    groups: Path, monkeypatch: pytest.MonkeyPatch, line: str, folder: str, names: str
) -> None:
    limit, used = {"v1": ("limit", "used"), "v2": ("max", "current")}[names]
    in_groups(monkeypatch, f"9:pids:/x\n{line}\n")
    write(groups / folder / "a" / "b", **{limit: "9223372036854771712" if names == "v1" else "max", used: "100"})
    assert memory_headroom(1) is None
    write(groups / folder / "a", **{limit: "1000", used: "400"})
    assert memory_headroom(1) == 600
    write(groups / folder / "a" / "b", **{limit: "500", used: "499"})
    assert memory_headroom(1) == 1
    write(groups / folder / "a" / "b", **{limit: "500", used: "600"})
    assert memory_headroom(1) == 0


def test_a_group_that_cannot_be_seen_limits_nothing(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_groups(monkeypatch, "0::/../other\n3:memory:/gone\n")
    assert groups.is_dir()
    assert memory_headroom(1) is None


def test_cached_files_leave_room(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They fill the limit of every container that reads files; the kernel lets go of them first."""
    in_groups(monkeypatch, "0::/a\n")
    stat = "anon 300\ninactive_anon 7\nactive_file 20\ninactive_file 650"
    write(groups / "a", max="1000", current="990", **{"memory.stat": stat})
    assert memory_headroom(1) == 660


def test_a_process_at_the_limit_of_a_group_of_version_2_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names that the kernel gives the files; many machines have the memory groups of version 1 alone."""
    monkeypatch.setattr(headroom, "_V2", replace(headroom._V2, folder=str(tmp_path)))  # noqa: SLF001
    in_groups(monkeypatch, "0::/pod/container\n")
    write(tmp_path / "pod" / "container", **{"memory.max": "max", "memory.current": str(500 * MIB)})
    files = {"memory.current": str(508 * MIB), "memory.stat": f"anon 1\ninactive_file {MIB}\nslab 5"}
    write(tmp_path / "pod", **{"memory.max": str(512 * MIB - 1), **files})
    headroom.require_headroom(1)
    write(tmp_path / "pod", **{"memory.max": str(511 * MIB - 1), **files})
    with pytest.raises(NotSupported, match="within 4 MiB of the limit of its memory cgroup"):
        headroom.require_headroom(1)
