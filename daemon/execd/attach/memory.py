"""Reading and writing another process's memory with process_vm_readv and process_vm_writev (Linux >= 3.2).

Works on running and on stopped targets alike. A short transfer is an error: nobody here can use half a struct.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from execd.errors import ExecdError, NotPermitted, TargetGone


class Unmapped(ExecdError):
    """An address of the target does not hold memory."""

    kind = "unmapped"


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Memory:
    """The memory of one process. Holds no resource of the target; `pid` must be kept alive by a pidfd elsewhere."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._libc = ctypes.CDLL(None, use_errno=True)
        arguments = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
        for name in ("process_vm_readv", "process_vm_writev"):
            function = getattr(self._libc, name)
            function.argtypes = arguments
            function.restype = ctypes.c_ssize_t

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes at `address`.

        Raises:
            Unmapped: some of them are not there.
            TargetGone, NotPermitted: the process cannot be read any more, or at all.
        """
        buffer = ctypes.create_string_buffer(length)
        self._transfer("process_vm_readv", ctypes.addressof(buffer), address, length)
        return buffer.raw

    def write(self, address: int, data: bytes) -> None:
        """Write `data` at `address`, which must be writable in the target. Raises as `read` does."""
        buffer = ctypes.create_string_buffer(data, len(data))
        self._transfer("process_vm_writev", ctypes.addressof(buffer), address, len(data))

    def read_u64(self, address: int) -> int:
        """Return the 8-byte word at `address`."""
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def read_u32(self, address: int) -> int:
        """Return the 4-byte word at `address`."""
        return int(struct.unpack("<I", self.read(address, 4))[0])

    def write_u64(self, address: int, value: int) -> None:
        """Write an 8-byte word."""
        self.write(address, struct.pack("<Q", value))

    def write_u32(self, address: int, value: int) -> None:
        """Write a 4-byte word."""
        self.write(address, struct.pack("<I", value))

    def _transfer(self, name: str, local: int, remote: int, length: int) -> None:
        if not 0 < remote < 1 << 63:
            raise Unmapped(f"address {remote:#x} of process {self.pid} is not one", pid=self.pid, address=remote)
        ours, theirs = _Iovec(local, length), _Iovec(remote, length)
        done = getattr(self._libc, name)(self.pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
        if done == length:
            return
        code = ctypes.get_errno() if done < 0 else errno.EFAULT
        raise self._error(code, remote, length)

    def _error(self, code: int, remote: int, length: int) -> ExecdError:
        if code == errno.ESRCH:
            return TargetGone(f"process {self.pid} has ended", pid=self.pid)
        if code in (errno.EPERM, errno.EACCES):
            return NotPermitted(
                f"the kernel does not let this user read the memory of process {self.pid}",
                remedy="run execd as the same user with kernel.yama.ptrace_scope 0, or with CAP_SYS_PTRACE",
                pid=self.pid,
            )
        place = f"{length} bytes at {remote:#x} of process {self.pid}"
        return Unmapped(f"cannot reach {place}: {os.strerror(code)}", pid=self.pid, address=remote)
