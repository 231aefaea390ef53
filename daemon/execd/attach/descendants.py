"""The descendants of a process, as /proc shows them."""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass

from execd.attach import process
from execd.errors import NotPermitted, TargetGone

_KCMP = 312
_KCMP_MEMORY = 1
# Fields of /proc/PID/stat (proc(5)), counted from the state on: where the stack of the main thread began, which exec
# changes and fork does not, and where the arguments lie.
_STACK_BEGAN, _ARGUMENTS_BEGAN = 25, 45
# Of a process that has given its memory back.
_NO_IMAGE = (b"0", b"0")


@dataclass(frozen=True, slots=True)
class Descendant:
    """A process below another.

    Attributes:
        pid, parent: its number, and its parent's.
        start_ticks: when it started, clock ticks after boot.
        image: another one after each program that it executes.
        is_copy: it executes what its parent does: it was forked and has executed no program since.
        shares_memory: with its parent: it is about to execute a program (vfork).
    """

    pid: int
    parent: int
    start_ticks: int
    image: tuple[bytes, bytes]
    is_copy: bool
    shares_memory: bool


def children(pid: int) -> list[int]:
    """Return the children of all threads; none where the kernel does not list them (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    for tid in process.threads(pid):
        with contextlib.suppress(TargetGone):
            found += map(int, process.read_file(f"/proc/{pid}/task/{tid}/children").split())
    return found


def share_memory(one: int, other: int) -> bool:
    """Whether two processes have one address space; where the kernel does not tell, they may."""
    return int(ctypes.CDLL(None).syscall(_KCMP, one, other, _KCMP_MEMORY, 0, 0)) <= 0


def has_memory(pid: int) -> bool:
    """Whether a process executes anything; one that is ending, or has ended, does not."""
    with contextlib.suppress(TargetGone):
        return _image(process.read_file(f"/proc/{pid}/stat")) != _NO_IMAGE
    return False


def reads_path(pid: int, path: bytes) -> bool:
    """Whether a process, where it is an interpreter, imports from a path of its environment's PYTHONPATH at its start.

    Raises:
        TargetGone, NotPermitted: it cannot be looked at.
    """
    variables = process.read_file(f"/proc/{pid}/environ").split(b"\0")
    return any(one.startswith(b"PYTHONPATH=" + path) for one in variables) and _heeds(process.command_line(pid))


def _heeds(command_line: tuple[str, ...]) -> bool:
    """Whether an interpreter's options let it heed its environment, and import site."""
    words = iter(command_line[1:])
    for word in words:
        if not word.startswith("-") or word.startswith("--"):
            return True
        for letter in word[1:]:
            if letter in "EIS":
                return False
            if letter in "cm":
                return True
            if letter in "WX":
                if word.endswith(letter):
                    next(words, None)
                break
    return True


def descendants(roots: set[int]) -> dict[int, Descendant]:
    """Return all that there are below some processes, these left out, by PID."""
    found: dict[int, Descendant] = {}
    open_ends = list(roots)
    while open_ends:
        parent = open_ends.pop()
        with contextlib.suppress(TargetGone, NotPermitted):
            for pid in children(parent):
                if pid in found or pid in roots:
                    continue
                with contextlib.suppress(TargetGone, NotPermitted):
                    found[pid] = _look_at(pid, parent)
                    open_ends.append(pid)
    return found


def _look_at(pid: int, parent: int) -> Descendant:
    own, theirs = process.read_file(f"/proc/{pid}/stat"), process.read_file(f"/proc/{parent}/stat")
    is_alike = _image(own) == _image(theirs)
    return Descendant(
        pid,
        parent,
        process.parse_start_ticks(pid, own),
        _image(own),
        is_copy=is_alike and process.command_line(pid) == process.command_line(parent),
        # One that has executed a program has memory of its own, whether the kernel compares them or not.
        shares_memory=is_alike and share_memory(pid, parent),
    )


def _image(stat: bytes) -> tuple[bytes, bytes]:
    fields = stat.rpartition(b")")[2].split()
    return fields[_STACK_BEGAN], fields[_ARGUMENTS_BEGAN]
