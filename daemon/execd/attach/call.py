"""The function that the pending-call ring calls: it runs the text, and what a signal handler raised goes its way.

PyRun_SimpleString prints an exception, drops it, and returns a failure without one: where a signal handler of the
target raises before the text's first line, which takes a millisecond to compile, the target loses that exception and
gets a SystemError. This function leaves it set, so that it is raised where the interpreter worked the ring off.

It lies in a page that the target cannot write. Its last act is to give all pages back, from within the C library:
nothing returns into them. After a failure they stay for another try. The GIL is held in all of it but the text, so
that whoever gets the GIL after a failure was told of finds no thread in here.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach.link import has_code_page
from execd.attach.memory import Unmapped

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter
    from execd.attach.link import Link

_FUNCTIONS = ("PyDict_New", "PyRun_String", "Py_DecRef")
_ENTER, _LEAVE = "PyThreadState_EnterTracing", "PyThreadState_LeaveTracing"
_TABLE = struct.Struct("<10Q")
_CODE = 96
_FAILED_WORD = 16
# int call(struct table *t): one NUL-terminated text, run as a file in a namespace of its own, unheard.
_BYTES = bytes.fromhex(
    "53 55 4154 4889fb"  # push rbx; push rbp; push r12; mov rbx, rdi
    "ff5338 4989c4 4889c7 ff5340"  # call PyThreadState_Get; mov r12, rax; mov rdi, rax; call what enters
    "ff13 4889c5 4885c0 741b"  # call PyDict_New; mov rbp, rax; test rax, rax; jz leave
    "488b7b18 be01010000 4889ea 4889e9 ff5308"  # PyRun_String(text, Py_file_input, rbp, rbp)
    "4889ef 4889c5 ff5310"  # mov rdi, rbp; mov rbp, rax; Py_DecRef of the namespace
    "4c89e7 ff5348"  # leave: mov rdi, r12; call what leaves
    "4885ed 741d 4889ef ff5310"  # test rbp, rbp; jz failed; Py_DecRef of the result
    "488b7b20 488b7328 488b4b30"  # mov rdi, pages; mov rsi, their size; mov rcx, `syscall; ret` of the C library
    "415c 5d 5b b80b000000 ffe1"  # pop all; munmap, which returns 0 to our caller
    "488b4320 c7401001000000 83c8ff 415c 5d 5b c3"  # failed: its word in the pages = 1; pop all; return -1
)
# What EnterTracing and LeaveTracing do, which 3.9 and 3.10 have not: `tracing` of a thread state (pystate.h) counts.
_COUNTING = bytes.fromhex("ff472c c3 ff4f2c c3")  # inc dword [rdi + 44]; ret; dec dword [rdi + 44]; ret
_COUNTED = ((3, 9), (3, 10))
_NOTHING = bytes.fromhex("c3")  # ret


def place(found: Interpreter, link: Link) -> int | None:
    """Write it. Returns its address, None where the target was refused such a page, or we are refused to write it."""
    pid, start = found.memory.pid, link.code_address
    texts = link.text_address, link.page, link.mapped_size, found.gadgets.system_call
    table = (*map(found.functions.__getitem__, _FUNCTIONS), *texts, found.functions["PyThreadState_Get"])
    content = _TABLE.pack(*table, *bounds(found, link)).ljust(_CODE, b"\0") + _BYTES + _COUNTING + _NOTHING
    if not link.has_code_page:
        return None
    try:
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            return start + _CODE if memory.write(content) == len(content) else None
    except OSError:
        return None


def bounds(found: Interpreter, link: Link) -> tuple[int, int]:
    """Return two functions of a thread state: between them no tool of the program's hears what its thread does.

    Without them cProfile would list the text, and what it calls. They may lie in the page.
    """
    if _ENTER in found.functions and _LEAVE in found.functions:
        return found.functions[_ENTER], found.functions[_LEAVE]
    start = link.code_address + _CODE + len(_BYTES)
    return (start, start + len(_COUNTING) // 2) if found.version in _COUNTED else (start + len(_COUNTING),) * 2


def take_failure(found: Interpreter, link: Link) -> bool:
    """Return whether the call has failed since this was last asked: its text has not run, or not to its end."""
    try:
        failed = found.memory.read_u32(link.page + _FAILED_WORD) != 0
    except Unmapped:
        return False
    # After a success all of it is given back, and the target may have put something of its own there.
    failed = failed and has_code_page(found.memory.pid, link.code_address)
    if failed:
        found.memory.write_u32(link.page + _FAILED_WORD, 0)
    return failed
