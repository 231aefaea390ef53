"""Where tasks lie in a process of CPython 3.14 or newer: the debug offsets of its `_asyncio` module.

They are a struct of 13 words in a section .AsyncioDebug (Modules/_asynciomodule.c, Py_AsyncioModuleDebugOffsets), of
the module's shared object or, where it is built in, of the interpreter's image. Sections are not loaded: its place is
read from the file, and its content from memory. The struct has neither cookie nor version, so it is used only where
the sizes that it gives for interpreter and thread state agree with `_Py_DebugOffsets`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach import elf, rootfs
from execd.attach.images import candidates
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory, Unmapped
from execd.errors import NotSupported
from execd.sampling.debug_offsets import Words

if TYPE_CHECKING:
    from execd.attach.process import Mapping
    from execd.sampling.frame_layout import FrameLayout

_SINCE = (3, 14)
_SECTION = b".AsyncioDebug"
_WORDS = struct.Struct("<13Q")
_MODULE = "_asyncio"
_INTERPRETER_NAMES = ("python", "libpython")
# e_shoff, and e_shentsize, e_shnum, e_shstrndx of an ELF header; sh_name, sh_addr, sh_offset, sh_size of a section's.
_HEADER_SIZE = 64
_SECTIONS_START = struct.Struct("<40xQ10xHHH")
_SECTION_HEADER = struct.Struct("<I12xQQQ24x")
_SECTIONS_LIMIT = 1024
_NAMES_LIMIT = 1 << 20
_TASK_LIMIT = 1 << 12


@dataclass(frozen=True, slots=True)
class AsyncioLayout:
    """Offsets in bytes.

    Attributes:
        task_size: of a task object.
        task_name, task_coro: pointers, to its name (a str, or an int in a C implementation) and its coroutine.
        task_awaited_by: pointer to who awaits it, a task or future, or a set of them where the byte at
            `task_awaited_by_is_set` is 1; 0 for nobody.
        task_is_task: a byte, 1 in a task and 0 in a future.
        task_node: where it is linked into the list of tasks: next, previous, two pointers to such places.
        interpreter_tasks: from the interpreter: the head of the list of tasks whose threads have ended.
        running_loop, running_task: from the thread state, pointers, 0 for none.
        thread_tasks: from the thread state: the head of the list of its tasks, linked in a circle.
    """

    task_size: int
    task_name: int
    task_awaited_by: int
    task_is_task: int
    task_awaited_by_is_set: int
    task_coro: int
    task_node: int
    interpreter_tasks: int
    running_loop: int
    running_task: int
    thread_tasks: int


def find_asyncio(memory: Memory, layout: FrameLayout, runtime: int, mappings: list[Mapping]) -> AsyncioLayout | None:
    """Return where tasks lie; None where no `_asyncio` is loaded, or its file is gone: its section is not to be found.

    Args:
        memory: of the process.
        layout: that fits it.
        runtime: the address of _PyRuntime.
        mappings: its memory map.

    Raises:
        NotSupported: the version has no such offsets, or they do not fit the interpreter that runs.
        TargetGone, NotPermitted: the process cannot be read.
    """
    if layout.version < _SINCE:
        raise NotSupported(
            f"CPython {layout.version[0]}.{layout.version[1]} does not say where its tasks are",
            remedy="awaiting tasks are shown on 3.14 and newer",
        )
    words = Words.of(layout.version, memory.read(runtime, DEBUG_OFFSETS_SIZE))
    for rows in candidates(mappings, (_MODULE,)):
        if not rows[0].path.rpartition("/")[2].startswith((_MODULE, *_INTERPRETER_NAMES)):
            continue
        address = _section_address(memory.pid, rows)
        if address is not None:
            return _read(memory, words, address)
    return None


def _read(memory: Memory, words: Words, address: int) -> AsyncioLayout:
    try:
        values = _WORDS.unpack(memory.read(address, _WORDS.size))
    except Unmapped:
        raise words.refusal("asyncio's are not loaded") from None
    size, *task, interpreter_size, interpreter_tasks, thread_size, loop, running, thread_tasks = values
    in_task = size <= _TASK_LIMIT and all(offset < size for offset in task)
    # A thread state is the beginning of a larger struct, which has these (pycore_tstate.h, _PyThreadStateImpl).
    in_thread = all(words.get("thread.size") <= offset < thread_size for offset in (loop, running, thread_tasks))
    if not in_task or not in_thread or interpreter_size != words.get("interpreter.size"):
        raise words.refusal(f"asyncio's are {values}")
    if interpreter_tasks >= interpreter_size:
        raise words.refusal(f"asyncio's tasks lie at {interpreter_tasks}")
    return AsyncioLayout(*(size, *task, interpreter_tasks, loop, running, thread_tasks))


def _section_address(pid: int, rows: list[Mapping]) -> int | None:
    """Return where the section of an image lies in memory, None where it has none or its file cannot be read."""
    try:
        descriptor = rootfs.open_in_root(pid, _path_in_root(pid, rows[0].path))
    except FileNotFoundError:
        return None
    try:
        if os.fstat(descriptor).st_ino != rows[0].inode:
            return None
        section = _section(descriptor)
        if section is None:
            return None
        return section + rows[0].start - rows[0].offset - elf.read_image(descriptor, (), ()).load_address
    except (elf.NotAnElf, struct.error):
        return None
    finally:
        os.close(descriptor)


def _path_in_root(pid: int, path: str) -> str:
    """Return a path of a memory map, which the kernel gives as it is in our root, as it is in the target's."""
    try:
        root = Path(f"/proc/{pid}/root").readlink()
    except OSError:
        return path
    place = Path(path)
    return f"/{place.relative_to(root)}" if place.is_relative_to(root) else path


def _section(descriptor: int) -> int | None:
    """Return the virtual address of the section in a file. Raises struct.error where the file ends too early."""
    start, size, count, names_index = _SECTIONS_START.unpack(os.pread(descriptor, _HEADER_SIZE, 0))
    if size != _SECTION_HEADER.size or not names_index < count <= _SECTIONS_LIMIT or start >= 1 << 62:
        return None
    table = os.pread(descriptor, count * size, start)
    headers = list(_SECTION_HEADER.iter_unpack(table))
    if names_index >= len(headers) or headers[names_index][2] >= 1 << 62:
        return None
    _, _, names_start, names_size = headers[names_index]
    names = os.pread(descriptor, min(names_size, _NAMES_LIMIT), names_start)
    for name, address, _, length in headers:
        if names[name : name + len(_SECTION) + 1] == _SECTION + b"\0" and length == _WORDS.size:
            return int(address)
    return None
