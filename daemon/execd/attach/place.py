"""Where a thread of a target is, in words: the system call that it waits in, or the C function that it runs.

Told when an attach has to wait, for a safe point of the thread that holds the GIL, or of the main thread.
A system call is read from /proc. The program counter of a running thread needs a stop of some microseconds, which is
made only by who brings a Stopper.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from execd.attach import process, rootfs, syscalls
from execd.errors import ExecdError, TargetGone

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter
    from execd.attach.stopped import Stopper
    from execd.attach.x86_64 import Registers

# struct pthread of glibc: its `tid` has lain there in every release for x86_64 (nptl/descr.h).
_PTHREAD_TID = 0x2D0
# Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr and Elf64_Sym of <elf.h>.
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOLS, _EXPORTED_SYMBOLS = 2, 11
_FUNCTION_TYPES = {2, 10}
# A stranger's file: the largest interpreters have symbol tables of 2 MiB.
_TABLE_LIMIT = 16 << 20
_NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread is.

    Attributes:
        tid: the thread.
        holds_gil: whether it holds the GIL, as far as that could be read.
        system_call: the name of the call that it waits in, "" where it runs.
        function: the C function that it runs, "" where that is not known.
        library: the file name of what holds its program counter, "" where that is not known.
    """

    tid: int
    holds_gil: bool = False
    system_call: str = ""
    function: str = ""
    library: str = ""

    def __str__(self) -> str:
        """As it stands after "the thread is"."""
        holding = ", holding the GIL" if self.holds_gil else ""
        if self.system_call:
            return f"in system call {self.system_call}{holding}"
        code = f"{self.function} of {self.library}" if self.function else f"code of {self.library}"
        return f"running {code if self.library else 'code'}{holding}"


def where(pid: int, found: Interpreter | None = None, stopper: Stopper | None = None) -> Place:
    """Return where the thread is that an attach waits for.

    Args:
        pid: the process.
        found: its CPython; without it nothing is known of the GIL, and the place is the main thread's.
        stopper: of the process; stops a thread that runs, to read its program counter.

    Raises:
        TargetGone: the process has ended.
    """
    holder = None if found is None else _holder(pid, found)
    tid = pid if holder is None else holder
    call = _system_call(pid, tid)
    if call is not None:
        return Place(tid, holder is not None, system_call=call)
    registers = None if stopper is None else _registers(stopper, tid)
    if registers is None:
        return Place(tid, holder is not None)
    if registers.system_call is not None:
        return Place(tid, holder is not None, system_call=syscalls.name(registers.system_call))
    function, library = _code_at(pid, registers["rip"])
    return Place(tid, holder is not None, function=function, library=library)


def _holder(pid: int, found: Interpreter) -> int | None:
    """Return the id of the thread that holds the GIL, None where none does or it moves on while we look."""
    try:
        holder = found.gil().holder
        for state in found.thread_states() if holder else []:
            if state.address == holder:
                return process.thread_of(pid, found.memory.read_u32(state.thread_id + _PTHREAD_TID))
    except TargetGone:
        raise
    except ExecdError:
        return None  # what we read was freed meanwhile
    return None


def _system_call(pid: int, tid: int) -> str | None:
    """Return the name of the call that a thread waits in, None where it runs or has ended."""
    try:
        first = process.read_file(f"/proc/{pid}/task/{tid}/syscall").split()[:1]
    except ExecdError:
        return None
    return syscalls.name(int(first[0])) if first and first[0].isdigit() else None


def _registers(stopper: Stopper, tid: int) -> Registers | None:
    try:
        with stopper.one(tid):
            return stopper.registers(tid)
    except ExecdError:
        return None  # it ended, or it cannot be stopped now: a place is not worth a second try


def _code_at(pid: int, address: int) -> tuple[str, str]:
    """Return the function and the file name of what lies at an address."""
    rows = (row for row in process.mappings(pid) if row.start <= address < row.end)
    mapping = next(rows, None)
    if mapping is None or not mapping.path.startswith("/"):
        return "", "" if mapping is None else mapping.path.strip("[]") or "no file"
    library = mapping.path.rpartition("/")[2].removesuffix(" (deleted)")
    descriptor = _open(pid, mapping)
    if descriptor is None:
        return "", library
    with os.fdopen(descriptor, "rb") as file:
        try:
            return _function_at(file, address - mapping.start + mapping.offset), library
        # A stranger's file: what it lies about itself shows in one of these.
        except (struct.error, StopIteration, ValueError, IndexError, OverflowError, OSError):
            return "", library


def _open(pid: int, mapping: process.Mapping) -> int | None:
    """Open what is mapped, None where another file lies there now."""
    for opener in (rootfs.open_in_root, lambda pid, _path: rootfs.open_executable(pid)):
        try:
            descriptor = opener(pid, mapping.path)
        except (OSError, ExecdError):
            continue
        if os.fstat(descriptor).st_ino == mapping.inode:
            return descriptor
        os.close(descriptor)
    return None


def _function_at(file: BinaryIO, offset: int) -> str:
    """Return the function whose code holds an offset of an ELF file, "" where no symbol covers it."""
    header = _HEADER.unpack(file.read(_HEADER.size))
    segments = _table(file, _SEGMENT, header[5], header[10])
    address = next(
        (offset - place + start for _, _, place, start, _, size, *_ in segments if 0 <= offset - place < size)
    )
    sections = _table(file, _SECTION, header[6], header[12])
    # A stripped file has the symbols that it exports, any other one those of its static functions too.
    for kind in (_SYMBOLS, _EXPORTED_SYMBOLS):
        for section in sections:
            if section[1] == kind and (name := _covering(file, sections, section, address)):
                return name
    return ""


def _table(file: BinaryIO, row: struct.Struct, place: int, count: int) -> list[tuple[int, ...]]:
    file.seek(place)
    return list(row.iter_unpack(file.read(row.size * count)))


def _covering(file: BinaryIO, sections: list[tuple[int, ...]], table: tuple[int, ...], address: int) -> str:
    """Return the name of the function of a symbol table that covers an address."""
    count = min(table[5], _TABLE_LIMIT) // _SYMBOL.size
    for name, kind, _, _, start, size in _table(file, _SYMBOL, table[4], count):
        if start <= address < start + size and kind & 15 in _FUNCTION_TYPES:
            file.seek(sections[table[6]][4] + name)
            return file.read(_NAME_LIMIT).partition(b"\0")[0].decode(errors="replace")
    return ""
