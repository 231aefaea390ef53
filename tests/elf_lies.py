"""ELF files that lie about themselves, made from one that does not."""

from __future__ import annotations

import os
import struct
import subprocess
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach import elf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The smallest shared object with a hash table of symbols that every installation has.
EXTENSIONS = Path(sysconfig.get_config_var("DESTSHARED"))
SMALL = min(EXTENSIONS.glob("*.so"), key=lambda path: path.stat().st_size)
INIT = "PyInit_" + SMALL.name.partition(".")[0]
WHOLE = SMALL.read_bytes()
SEGMENTS = struct.unpack_from("<Q", WHOLE, 32)[0]
SEGMENT_COUNT = struct.unpack_from("<H", WHOLE, 56)[0]
PT_LOAD, PT_DYNAMIC = 1, 2
GNU_HASH, SYSV_HASH, SYMBOLS, NAMES = 0x6FFFFEF5, 4, 6, 5


@contextmanager
def as_file(data: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("image")
    os.write(descriptor, data)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(data: bytes) -> elf.Image | None:
    """The image in a file, None where it is refused."""
    with as_file(data) as descriptor:
        try:
            return elf.read_image(descriptor, (INIT, "no_such_symbol"), (INIT,))
        except elf.NotAnElf:
            return None


def read_loaded(data: bytes) -> elf.Image | None:
    """The same of a memory that holds the bytes where a file has them."""
    try:
        return elf.read_loaded(lambda at, count: data[at : at + count] if at >= 0 else b"", 0, (INIT,), ())
    except elf.NotAnElf:
        return None


def segment(kind: int) -> int:
    """Where the header of the first segment of a kind lies."""
    places = (SEGMENTS + 56 * number for number in range(SEGMENT_COUNT))
    return next(place for place in places if struct.unpack_from("<I", WHOLE, place)[0] == kind)


def tag(number: int) -> int:
    """Where the value of a tag of the dynamic section lies."""
    offset, _, _, size = struct.unpack_from("<QQQQ", WHOLE, segment(PT_DYNAMIC) + 8)
    places = range(offset, offset + size, 16)
    return next(place + 8 for place in places if struct.unpack_from("<Q", WHOLE, place)[0] == number)


def changed(place: int, form: str, *values: int) -> bytes:
    data = bytearray(WHOLE)
    struct.pack_into(form, data, place, *values)
    return bytes(data)


def endless_chain() -> bytes:
    """Hash values of which none ends a chain, in all buckets."""
    (table,) = struct.unpack_from("<Q", WHOLE, tag(GNU_HASH))
    buckets, _, filters, _ = struct.unpack_from("<IIII", WHOLE, table)
    chains = table + 16 + 8 * filters + 4 * buckets
    data = bytearray(WHOLE + bytes(1 << 20))
    (file_size,) = struct.unpack_from("<Q", WHOLE, segment(PT_LOAD) + 32)
    for place in range(chains, file_size - 4, 4):
        struct.pack_into("<I", data, place, 2)
    return bytes(data)


def circle() -> bytes:
    """A table of the older kind in which a symbol follows on itself."""
    data = bytearray(WHOLE)
    (table,) = struct.unpack_from("<Q", WHOLE, tag(GNU_HASH))
    struct.pack_into("<QQ", data, tag(GNU_HASH) - 8, SYSV_HASH, table)
    struct.pack_into("<IIIII", data, table, 1, 2, 1, 0, 1)
    return bytes(data)


HUGE = (1 << 64) - 1
LIES: dict[str, Callable[[], bytes]] = {
    "segments without end": lambda: changed(56, "<H", 0xFFFF),
    "segments of no size": lambda: changed(54, "<H", 0),
    "segments that lie nowhere": lambda: changed(32, "<Q", HUGE - 7),
    "a dynamic section without end": lambda: changed(segment(PT_DYNAMIC) + 32, "<QQ", HUGE, HUGE),
    "a dynamic section that lies nowhere": lambda: changed(segment(PT_DYNAMIC) + 16, "<Q", HUGE - 100),
    "segments that overlap": lambda: changed(segment(PT_LOAD) + 8, "<QQQQQ", 0, 0, 0, HUGE, HUGE),
    "symbols that lie nowhere": lambda: changed(tag(SYMBOLS), "<Q", HUGE - 24),
    "names that lie nowhere": lambda: changed(tag(NAMES), "<Q", 1 << 46),
    "a hash table that lies nowhere": lambda: changed(tag(GNU_HASH), "<Q", HUGE - 16),
    "a hash chain without end": endless_chain,
    "a hash chain that is a circle": circle,
}


# What these say is not looked at in a memory, where all is in its place.
LIES_OF_FILES = ("segments that overlap",)

MAPPER = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        mmap(0, 1 << 20, PROT_READ | PROT_EXEC, MAP_PRIVATE, open(argv[i], O_RDONLY), 0);
    puts("ready");
    fflush(stdout);
    return getchar();
}
"""


def lying_program(folder: Path) -> tuple[str, ...]:
    """The command line of a program that has files mapped as code which lie, under the names of CPython's library.

    Args:
        folder: where the files and the program are made.
    """
    paths = []
    for number, lie in enumerate(LIES.values()):
        paths.append(folder / f"libpython3.{number}.so")
        paths[-1].write_bytes(lie().ljust(4096, b"\0"))
    program = folder / "mapper"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run([compiler, "-x", "c", "-", "-o", program], input=MAPPER, text=True, check=True)
    return str(program), *map(str, paths)
