"""What this process has allocated and not freed, whatever its allocators keep for later."""

import sys

KIB = 1024


def in_use():
    """What malloc has given out, in KiB, and how many blocks Python's allocator has, for objects of up to 512 bytes.

    Garbage is collected before. What malloc holds free, in as many arenas as threads have allocated from, does not
    count, and neither does what is left free in Python's.
    """
    # Where it is not asked for, these modules are not there for a comparison of modules to see.
    import ctypes  # noqa: PLC0415 - see above
    import gc  # noqa: PLC0415 - see above

    # struct mallinfo: arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost.
    mallinfo = ctypes.CDLL(None).mallinfo
    mallinfo.restype = type("Mallinfo", (ctypes.Structure,), {"_fields_": [("figures", ctypes.c_int * 10)]})
    gc.collect()
    figures = mallinfo().figures
    mapped_bytes, heap_bytes = figures[4], figures[7]
    return (mapped_bytes + heap_bytes) // KIB, sys.getallocatedblocks()


def of_size(size, count):
    """So many objects that each take so many bytes."""
    # All must be in use, and be none of the small ones that exist once.
    return [bytes(size - sys.getsizeof(b"")) for _ in range(count)]
