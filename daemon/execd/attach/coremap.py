"""CoreMap: the tables of a native core in a target, read by this process itself; see inprocess/native/tables.h.

A copy takes nothing from the target but the time that its next event waits for it, some 0.3 ms of each MB. The target
may be stopped, hold its GIL, or have ended: the memory is there as long as we have it open.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self, TypeVar

from execd._coretables import Tables
from execd.errors import AttachBusy, NotPermitted, ProfileCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable

_Copied = TypeVar("_Copied", bytes, "bytes | None")
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_LEAST_BYTES: Final = 192
# Between two tries. Where the thread that changes them has no processor, or we have none, it lasts.
_PAUSES_S: Final = (0.001, 0.005, 0.02, 0.1)
# Who is in the midst of a change for so long has been stopped there.
_STILL_S: Final = 0.5
_LOOK_S: Final = 0.01


class CoreMap:
    """One descriptor and a page of memory, from `open` to `close`. For any thread.

    Args:
        tables: open.
        limit_bytes: how many bytes a copy may come to.
    """

    def __init__(self, tables: Tables, limit_bytes: int) -> None:
        self._tables = tables
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()

    @classmethod
    def open(cls, pid: int, number: int, limit_bytes: int) -> Self:
        """Open what a process has under a descriptor.

        Args:
            pid: of the process.
            number: of the descriptor there.
            limit_bytes: how many bytes a copy may come to.

        Raises:
            NotPermitted: the system does not let us, or the process has another time than we have.
            ProfileCorrupt: it is no memory that stays as large as it is.
        """
        try:
            if os.readlink(f"/proc/{pid}/ns/time") != os.readlink("/proc/self/ns/time"):
                raise NotPermitted(f"process {pid} is in another time namespace", pid=pid)
            descriptor = _opened(f"/proc/{pid}/fd/{number}")
            try:
                return cls(Tables(descriptor), limit_bytes)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise NotPermitted(f"descriptor {number} of process {pid} cannot be opened: {error}", pid=pid) from None

    def copy(self) -> bytes:
        """Return the tables as they are at one instant, with what is used of them.

        Raises:
            AttachBusy: no such instant was found; asking again may.
            ProfileCorrupt: these are no tables of a core.
        """
        with self._lock:
            for pause_s in (*_PAUSES_S, 0.0):
                found = _judged(self._tables.copy, self._limit_bytes)
                if found is not None:
                    return found
                time.sleep(pause_s)
            if self._stands_still():
                return _judged(self._tables.copy_as_it_is, self._limit_bytes)
        raise AttachBusy("the process changes its tables of calls all the time", remedy="try again")

    def copy_last(self) -> bytes:
        """Return the tables as their process has left them, in the midst of a change perhaps. Raises ProfileCorrupt."""
        with self._lock:
            return _judged(self._tables.copy_as_it_is, self._limit_bytes)

    def close(self) -> None:
        """Let go of them. No copy can be made any more."""
        with self._lock:
            self._tables.close()

    def _stands_still(self) -> bool:
        """Whether a change has begun and does not go on: its process was stopped within."""
        found = self._tables.sequence()
        deadline = time.monotonic() + _STILL_S
        while found % 2 and self._tables.sequence() == found:
            if time.monotonic() > deadline:
                return True
            time.sleep(_LOOK_S)
        return False


def _judged(copy: Callable[[int], _Copied], limit_bytes: int) -> _Copied:
    try:
        return copy(limit_bytes)
    except (ValueError, OSError) as error:
        raise ProfileCorrupt(f"what a process records cannot be read: {error}") from None


def _opened(path: str) -> int:
    """Return a memfd of another process. Raises ProfileCorrupt where it is none, OSError."""
    with ExitStack() as stack:
        sample = os.memfd_create("execd_sample", os.MFD_CLOEXEC)
        stack.callback(os.close, sample)
        # Nothing of it is touched so: a pipe would wait, a file system of the target's might never answer.
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        stack.callback(os.close, place)
        if _mount(place) != _mount(sample):
            raise ProfileCorrupt("what a process records is not in memory")
        facts = os.fstat(place)
        if facts.st_dev != os.fstat(sample).st_dev or not stat.S_ISREG(facts.st_mode) or facts.st_nlink:
            raise ProfileCorrupt("what a process records is not in memory of its own")
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDWR | os.O_CLOEXEC)
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS or facts.st_size < _LEAST_BYTES:
        os.close(descriptor)
        raise ProfileCorrupt("what a process records is in memory that may become smaller")
    return descriptor


def _mount(descriptor: int) -> str:
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as opened:
        return next((line for line in opened if line.startswith("mnt_id:")), "")
