"""What /proc tells of a process, read without touching it. Everything here is data from a stranger."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from execd.errors import NotPermitted, TargetGone
from execd.model.target import TargetKey

# A process may have 65,530 mappings (vm.max_map_count) of about 100 bytes; more is not read.
_READ_LIMIT = 16 << 20
_MAP = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)")


@dataclass(frozen=True, slots=True)
class Mapping:
    """A line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str

    @property
    def executable(self) -> bool:
        """Whether code may run there."""
        return "x" in self.permissions


@dataclass(frozen=True, slots=True)
class Status:
    """The fields of /proc/PID/status that decide about an attach."""

    state: str
    uid: int
    effective_uid: int
    tracer_pid: int
    seccomp: int
    shadow_stack: bool


def read_file(path: str | Path, limit: int = _READ_LIMIT) -> bytes:
    """Return the bytes of a file of /proc.

    Raises:
        TargetGone: the process has ended.
        NotPermitted: this user may not read it.
    """
    pid = str(path).split("/")[2] if str(path).startswith("/proc/") else ""
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except (FileNotFoundError, ProcessLookupError):
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        raise NotPermitted(
            f"this user may not look into process {pid}",
            remedy="run execd as the user that the process runs as",
            pid=pid,
        ) from None


def boot_id() -> str:
    """Return the identifier of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def target_key(pid: int) -> TargetKey:
    """Return the identity of a process. Raises TargetGone."""
    return TargetKey(boot_id(), pid, start_ticks(pid))


def start_ticks(pid: int) -> int:
    """Return field 22 of /proc/PID/stat. The name before it may hold spaces and parentheses. Raises TargetGone."""
    fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19])


def command_line(pid: int) -> tuple[str, ...]:
    """Return argv, undecodable bytes as surrogate escapes; () for a zombie or a kernel thread."""
    data = read_file(f"/proc/{pid}/cmdline")
    return tuple(os.fsdecode(part) for part in data.rstrip(b"\0").split(b"\0")) if data else ()


def status(pid: int) -> Status:
    """Return the fields of /proc/PID/status that matter here. Raises TargetGone."""
    text = os.fsdecode(read_file(f"/proc/{pid}/status"))
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    uids = fields.get("Uid", "0 0").split()
    return Status(
        state=fields.get("State", "?")[:1],
        uid=int(uids[0]),
        effective_uid=int(uids[1]),
        tracer_pid=int(fields.get("TracerPid", "0")),
        seccomp=int(fields.get("Seccomp", "0")),
        shadow_stack="shstk" in fields.get("x86_Thread_features", ""),
    )


def mappings(pid: int) -> list[Mapping]:
    """Return the memory map, by address. Raises TargetGone, NotPermitted."""
    text = os.fsdecode(read_file(f"/proc/{pid}/maps"))
    return [parsed for line in text.split("\n") if (parsed := _parse_mapping(line))]


def _parse_mapping(line: str) -> Mapping | None:
    match = _MAP.fullmatch(line)
    if not match:
        return None
    start, end, permissions, offset, device, inode, path = match.groups()
    return Mapping(int(start, 16), int(end, 16), permissions, int(offset, 16), device, int(inode), path)


def threads(pid: int) -> list[int]:
    """Return the thread ids, the main thread first. Raises TargetGone."""
    try:
        return sorted((int(name) for name in os.listdir(f"/proc/{pid}/task")), key=lambda tid: (tid != pid, tid))
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None


def environment(pid: int) -> dict[str, str]:
    """Return the environment that the process was started with. Raises TargetGone, NotPermitted."""
    entries = (os.fsdecode(part).partition("=") for part in read_file(f"/proc/{pid}/environ").split(b"\0"))
    return {name: value for name, separator, value in entries if separator}


def open_files(pid: int) -> dict[int, str]:
    """Return what each file descriptor points to, as /proc shows it. Raises TargetGone, NotPermitted."""
    folder = f"/proc/{pid}/fd"
    found: dict[int, str] = {}
    try:
        for name in os.listdir(folder):
            try:
                found[int(name)] = os.readlink(f"{folder}/{name}")
            except FileNotFoundError:
                continue  # closed meanwhile
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        raise NotPermitted(f"this user may not look into process {pid}", pid=pid) from None
    return found


def stack_limit(pid: int) -> int:
    """Return how large the main thread's stack may grow, bytes. Raises TargetGone."""
    soft = limit(pid, "Max stack size")
    return 1 << 40 if soft is None else soft


def limit(pid: int, name: str) -> int | None:
    """Return a soft limit as /proc/PID/limits names it, None where there is none. Raises TargetGone."""
    for line in read_file(f"/proc/{pid}/limits").decode().splitlines():
        if line.startswith(name):
            soft = line[len(name) :].split()[0]
            return None if soft == "unlimited" else int(soft)
    return None
