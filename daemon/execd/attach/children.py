"""Children that a target forked between the making of the link and the first code of ours: they have its descriptors.

From launch.py on a forked child closes them by itself (`os.register_at_fork`); before, no code of ours has run in the
target that could arrange for it. A child that has our end of the socketpair keeps the agent from seeing us go.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from pathlib import Path
from typing import TYPE_CHECKING

from execd.attach import process, x86_64
from execd.attach.link import identity
from execd.attach.stopped import CHAIN_STACK, StopClock, Stopper
from execd.errors import AttachBusy, ExecdError

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter
    from execd.attach.link import Link
    from execd.attach.ptrace import Ptrace

_KCMP = 312
_KCMP_MEMORY = 1
# For as long as a quarter of a second: one that has just been forked may be busy with its memory.
_ATTEMPTS = 50
_RETRY_S = 0.005


def close_in_children(pid: int, ptrace: Ptrace, found: Interpreter, link: Link) -> None:
    """Make the children of a target close what they have of a link. One that cannot be touched now keeps it.

    The page stays: where the text was queued at the fork, the child's interpreter runs it too, and launch.py ends it.
    """
    for child in _children(pid):
        for _ in range(_ATTEMPTS):
            try:
                _close_in(child, pid, ptrace, found, link)
            except AttachBusy:
                time.sleep(_RETRY_S)
                continue
            except (ExecdError, OSError):
                pass  # it has ended, or somebody traces it: the attach has succeeded all the same
            break


def _close_in(child: int, parent: int, ptrace: Ptrace, found: Interpreter, link: Link) -> None:
    # A child of vfork stands on its parent's stack, and executes a program in a moment.
    if not _held(child, link) or _share_memory(child, parent):
        return
    stopper = Stopper(child, ptrace, StopClock(), process.mappings(child))
    # A fork leaves it one thread. While that is held a number does not become that of a file of the child's own.
    with stopper.one(child):
        steps = [x86_64.system_call(found.gadgets, x86_64.CLOSE, number) for number in _held(child, link)]
        if steps:
            stopper.run_chain(child, steps, found.gadgets, b"", CHAIN_STACK)


def _held(pid: int, link: Link) -> list[int]:
    """Return the numbers of the files of a link that a process has under them."""
    return [number for number, *facts in link.files if identity(pid, number) == tuple(facts)]


def _children(pid: int) -> list[int]:
    """Return the children of all threads; none where the kernel does not list them (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    for tid in process.threads(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, Path(f"/proc/{pid}/task/{tid}/children").read_text().split())
    return found


def _share_memory(one: int, other: int) -> bool:
    """Whether two processes have one address space; where the kernel does not tell, they may."""
    return int(ctypes.CDLL(None).syscall(_KCMP, one, other, _KCMP_MEMORY, 0, 0)) <= 0
