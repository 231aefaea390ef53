"""Pages that are withheld: who reads them waits, as a target that serves its own memory lets a reader wait."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of x86-64 (linux/userfaultfd.h): pages that are missing are filled by who has the descriptor.
USERFAULTFD, UFFDIO_API, UFFDIO_REGISTER, API, MISSING = 323, 0xC018AA3F, 0xC020AA00, 0xAA, 1


@contextmanager
def withheld_page() -> Iterator[int]:
    """A page of ours that does not come until the end: who reads it waits."""
    faults = ctypes.CDLL(None, use_errno=True).syscall(USERFAULTFD, os.O_CLOEXEC)
    if faults < 0:
        pytest.skip("userfaultfd is not allowed")
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        first = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(first)
        try:
            fcntl.ioctl(faults, UFFDIO_API, struct.pack("<QQQ", API, 0, 0))
            fcntl.ioctl(faults, UFFDIO_REGISTER, struct.pack("<QQQQ", address, mmap.PAGESIZE, MISSING, 0))
            yield address
        finally:
            os.close(faults)
            del first
