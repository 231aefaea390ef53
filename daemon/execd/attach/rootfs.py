"""Opening files that lie in a target's file system, as the target sees them.

An absolute symbolic link in a container must lead to the container's file, never to the host's: every open goes through
openat2 with RESOLVE_IN_ROOT (Linux >= 5.6). Devices and pipes are refused and the size is capped: opening must not
block and must not fill our memory, whatever lies there.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from execd.attach import process
from execd.errors import NotPermitted, NotSupported, TargetGone

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_SIZE_LIMIT = 512 << 20
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_in_root(pid: int, path: str) -> int:
    """Open a regular file of the target for reading.

    Args:
        pid: the target; its root directory is where `path` starts.
        path: an absolute path as the target names it.

    Returns:
        a file descriptor, to be closed by the caller.

    Raises:
        FileNotFoundError: it is not there, or is not a regular file of a bearable size.
        TargetGone, NotPermitted: the target's root cannot be reached.
    """
    root = _open_root(pid)
    try:
        descriptor = _openat2(root, path)
    finally:
        os.close(root)
    return _checked(descriptor, path)


def open_executable(pid: int) -> int:
    """Open the file that the target was started from, also when it was deleted since. Raises as open_in_root does."""
    try:
        descriptor = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended or has no executable", pid=pid) from None
    except PermissionError:
        raise _forbidden(pid) from None
    return _checked(descriptor, f"/proc/{pid}/exe")


def executable_path(pid: int) -> str:
    """Return the path of the target's executable in its own root, "" for a kernel thread. Raises as the others do."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except FileNotFoundError:
        return ""
    except PermissionError:
        raise _forbidden(pid) from None


def in_other_root(pid: int) -> bool:
    """Return whether the target's root directory is another one than ours. Raises TargetGone, NotPermitted."""
    try:
        theirs, ours = os.stat(f"/proc/{pid}/root/"), os.stat("/")
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        raise _forbidden(pid) from None
    return _identity(theirs) != _identity(ours)


def opens_by_number(pid: int, descriptor: int) -> bool:
    """Return whether the target can open one of its descriptors by the path /proc/self/fd/N.

    It cannot where no /proc is mounted in its root, or one of a PID namespace that it is not in.

    Args:
        pid: the target.
        descriptor: a number of its own.

    Raises:
        TargetGone, NotPermitted: the target's root cannot be reached.
    """
    root = _open_root(pid)
    try:
        file = _identity(os.stat(f"/proc/{pid}/fd/{descriptor}"))
        return any(_is_at(root, f"/proc/{number}/fd", descriptor, file) for number in process.inner_pids(pid))
    except FileNotFoundError:
        return False
    finally:
        os.close(root)


def _is_at(root: int, folder: str, descriptor: int, file: tuple[int, int]) -> bool:
    try:
        opened = _openat2(root, folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return _identity(os.stat(str(descriptor), dir_fd=opened)) == file
    except (FileNotFoundError, PermissionError):
        return False
    finally:
        os.close(opened)


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _open_root(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise TargetGone(f"process {pid} has ended", pid=pid) from None
    except PermissionError:
        raise _forbidden(pid) from None


def _openat2(root: int, path: str, flags: int = _READING) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    how = struct.pack("<QQQ", flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    descriptor = int(libc.syscall(_OPENAT2, root, os.fsencode(path), how, len(how)))
    if descriptor >= 0:
        return descriptor
    code = ctypes.get_errno()
    if code == 38:  # noqa: PLR2004 - ENOSYS
        raise NotSupported("this kernel has no openat2", remedy="execd needs Linux 5.6 or newer")
    raise FileNotFoundError(code, os.strerror(code), path)


def _checked(descriptor: int, path: str) -> int:
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= _SIZE_LIMIT:
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(2, "not a regular file of at most 512 MiB", path)


def _forbidden(pid: int) -> NotPermitted:
    return NotPermitted(
        f"this user may not look into process {pid}",
        remedy="run execd as the user that the process runs as, or as root of the machine",
        pid=pid,
    )
