"""What /proc tells of a process, read without touching it. Everything here is data from a stranger."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from execd.errors import NotPermitted, NotSupported, TargetGone
from execd.model.target import TargetKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_READ_LIMIT = 16 << 20
_PIECE = 64 << 10
_COMMAND_LINE_LIMIT = 128 << 10
# A process has at most 65,530 mappings (vm.max_map_count) where nobody has raised that; a path takes up to 16 KiB.
_MAPPINGS_LIMIT = 1 << 17
_PATHS_LIMIT = 4 << 20
_LINE_LIMIT = 32 << 10
# PF_KTHREAD (linux/sched.h), of the flags in /proc/PID/stat.
_KERNEL_THREAD = 0x200000
_MAP = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) (\S{4}) ([0-9a-f]{1,16}) (\S{1,32}) (\d{1,20})(?: *| +(\S.*))", re.DOTALL
)


class Mapping(NamedTuple):
    """A line of /proc/PID/maps. There may be thousands, and a tuple is made in a third of a dataclass's time."""

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
    content = b""
    with _opened(path) as descriptor:
        while len(content) < limit and (part := os.read(descriptor, min(_PIECE, limit - len(content)))):
            content += part
    return content


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        pid = _pid_in(path)
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        pid = _pid_in(path)
        raise NotPermitted(
            f"this user may not look into process {pid}",
            remedy="run execd as the user that the process runs as",
            pid=pid,
        ) from None


def _pid_in(path: str | Path) -> str:
    return str(path).split("/")[2] if str(path).startswith("/proc/") else ""


def boot_id() -> str:
    """Return the identifier of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def target_key(pid: int) -> TargetKey:
    """Return the identity of a process. Raises TargetGone."""
    return TargetKey(boot_id(), pid, start_ticks(pid))


def start_ticks(pid: int) -> int:
    """Return field 22 of /proc/PID/stat. Raises TargetGone."""
    return parse_start_ticks(pid, read_file(f"/proc/{pid}/stat"))


def is_of_kernel(pid: int) -> bool:
    """Whether it is a thread of the kernel, which has a PID and executes no program; what has ended is none."""
    try:
        return bool(int(read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[6]) & _KERNEL_THREAD)
    except (TargetGone, IndexError, ValueError):
        return False


def parse_start_ticks(pid: int, data: bytes) -> int:
    """Return the same of the file's content. The name in it may hold spaces and parentheses. Raises TargetGone."""
    fields = data.rpartition(b")")[2].split()
    try:
        return int(fields[19])
    except (IndexError, ValueError):
        raise _unreadable(pid) from None


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, of all its threads. Raises TargetGone."""
    fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    try:
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (IndexError, ValueError):
        raise _unreadable(pid) from None


def cpu_ns(pid: int) -> int:
    """Return the CPU time that the threads of a process have taken that there are now, ns. Raises TargetGone."""
    return sum(used_ns(pid, tid) for tid in threads(pid))


def used_ns(pid: int, tid: int) -> int:
    """Return the CPU time that a thread has taken, ns. Raises TargetGone.

    What one that runs has used since the kernel last looked, a tick or less, is not in there.
    """
    data = read_file(f"/proc/{pid}/task/{tid}/schedstat").split()
    return int(data[0]) if data else 0


def command_line(pid: int) -> tuple[str, ...]:
    """Return argv, undecodable bytes as surrogate escapes; () for a zombie or a kernel thread.

    A process may write there what it likes: of more than 128 KiB the beginning is returned.
    """
    data = read_file(f"/proc/{pid}/cmdline", _COMMAND_LINE_LIMIT)
    return tuple(os.fsdecode(part) for part in data.rstrip(b"\0").split(b"\0")) if data else ()


def status(pid: int) -> Status:
    """Return the fields of /proc/PID/status that matter here. Raises TargetGone."""
    return parse_status(pid, read_file(f"/proc/{pid}/status"))


def parse_status(pid: int, data: bytes) -> Status:
    """Return the same of the file's content, in which a name is one line whatever it holds. Raises TargetGone."""
    fields = _status_fields(data)
    try:
        uids = fields[b"Uid"].split()
        return Status(
            state=os.fsdecode(fields[b"State"][:1]),
            uid=int(uids[0]),
            effective_uid=int(uids[1]),
            tracer_pid=int(fields.get(b"TracerPid", b"0")),
            seccomp=int(fields.get(b"Seccomp", b"0")),
            shadow_stack=b"shstk" in fields.get(b"x86_Thread_features", b""),
        )
    except (KeyError, IndexError, ValueError):
        raise _unreadable(pid) from None


def pending_signals(pid: int, tid: int) -> int:
    """Return the signals that are on their way to a thread or its process, a bit each. Raises TargetGone."""
    fields = _status_fields(read_file(f"/proc/{pid}/task/{tid}/status"))
    return int(fields.get(b"SigPnd", b"0"), 16) | int(fields.get(b"ShdPnd", b"0"), 16)


def state(pid: int, tid: int) -> str:
    """Return the letter of a thread's state, "" where it has ended."""
    try:
        return os.fsdecode(read_file(f"/proc/{pid}/task/{tid}/stat").rpartition(b")")[2].split()[:1][0])
    except (TargetGone, IndexError):
        return ""


def inner_pids(pid: int) -> list[int]:
    """Return the numbers of a process, ours first, then those in the PID namespaces further in. Raises TargetGone."""
    fields = _status_fields(read_file(f"/proc/{pid}/status"))
    return [int(number) for number in fields.get(b"NSpid", b"").split()] or [pid]


def process_of(tid: int) -> tuple[int, str]:
    """Return the process that a thread is of, and its name: what TracerPid names is a thread. Raises TargetGone."""
    try:
        pid = int(_status_fields(read_file(f"/proc/{tid}/status"))[b"Tgid"])
    except (KeyError, ValueError):
        raise _unreadable(tid) from None
    return pid, os.fsdecode(read_file(f"/proc/{pid}/comm").removesuffix(b"\n"))


def _status_fields(data: bytes) -> dict[bytes, bytes]:
    rows = (line.partition(b":\t") for line in data.split(b"\n"))
    return {name: value for name, separator, value in rows if separator}


def _unreadable(pid: int) -> TargetGone:
    return TargetGone(f"process {pid} cannot be read any more: it is ending", pid=pid)


def mappings(pid: int) -> list[Mapping]:
    """Return the memory map, by address. Raises TargetGone, NotPermitted, NotSupported as parse_mappings does."""
    with _opened(f"/proc/{pid}/maps") as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        return parse_mappings(iter(partial(file.readline, _LINE_LIMIT), b""))


def parse_mappings(lines: Iterable[bytes]) -> list[Mapping]:
    """Return what the lines of a memory map say; one that is none is left out.

    Raises:
        NotSupported: there are more of them, or of paths in them, than a process has that means no harm.
    """
    found: list[Mapping] = []
    # Most lines name a file that another one names too.
    texts: dict[bytes, str] = {}
    size = 0
    for line in lines:
        match = _MAP.fullmatch(line.removesuffix(b"\n"))
        if not match:
            continue
        start, end, permissions, offset, device, inode, path = match.groups(b"")
        for word in (permissions, device, path):
            if word not in texts:
                texts[word] = os.fsdecode(word)
                size += len(word)
        if len(found) >= _MAPPINGS_LIMIT or size > _PATHS_LIMIT:
            raise NotSupported(
                f"a memory map of more than {_MAPPINGS_LIMIT} entries or {_PATHS_LIMIT >> 20} MiB of names is not read"
            )
        place = int(start, 16), int(end, 16), texts[permissions], int(offset, 16)
        found.append(Mapping(*place, texts[device], int(inode), texts[path]))
    return found


def threads(pid: int) -> list[int]:
    """Return the thread ids, the main thread first. Raises TargetGone."""
    try:
        return sorted((int(name) for name in os.listdir(f"/proc/{pid}/task")), key=lambda tid: (tid != pid, tid))
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None


def thread_cpu_ns(pid: int) -> dict[int, int]:
    """Return the CPU time of each thread, ns, by its number in the process's own PID namespace. Raises TargetGone."""
    is_inside = len(inner_pids(pid)) > 1
    found = {}
    for tid in threads(pid):
        with contextlib.suppress(TargetGone):
            found[inner_pids(tid)[-1] if is_inside else tid] = used_ns(pid, tid)
    return found


def thread_of(pid: int, inner: int) -> int | None:
    """Return our number of the thread that has this one in the process's own PID namespace. Raises TargetGone.

    None where none of its threads has: the number is what the process says, and may be another one's thread.
    """
    is_inside = len(inner_pids(pid)) > 1
    for tid in threads(pid):
        # One that has ended meanwhile is another one.
        with contextlib.suppress(TargetGone):
            if (inner_pids(tid)[-1] if is_inside else tid) == inner:
                return tid
    return None


def has_variable(pid: int, name: str) -> bool:
    """Return whether the process was started with a variable, whatever its value. Raises TargetGone, NotPermitted."""
    return (b"\0" + os.fsencode(name) + b"=") in b"\0" + read_file(f"/proc/{pid}/environ")


def environment(pid: int) -> dict[str, str]:
    """Return the environment that the process was started with. Raises TargetGone, NotPermitted."""
    entries = (os.fsdecode(part).partition("=") for part in read_file(f"/proc/{pid}/environ").split(b"\0"))
    return {name: value for name, separator, value in entries if separator}


def open_files(pid: int, beginning: str = "") -> dict[int, str]:
    """Return what the file descriptors point to, as /proc shows it.

    Args:
        pid: the process; it may have a million of them.
        beginning: only what begins so is returned.

    Raises:
        TargetGone, NotPermitted.
    """
    folder = f"/proc/{pid}/fd"
    found: dict[int, str] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                target = _link_target(entry.path)
                if target and target.startswith(beginning):
                    found[int(entry.name)] = target
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        raise NotPermitted(f"this user may not look into process {pid}", pid=pid) from None
    return found


def _link_target(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""  # closed meanwhile


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
