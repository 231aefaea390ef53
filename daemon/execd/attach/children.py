"""Children that a target forked between the making of the link and the first code of ours: they have its descriptors.

From launch.py on a forked child closes them by itself (`os.register_at_fork`); before, no code of ours has run in the
target that could arrange for it. A child that has our end of the socketpair keeps the agent from seeing us go.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from execd.attach import process, x86_64
from execd.attach.descendants import children as children_of
from execd.attach.descendants import share_memory
from execd.attach.link import identity
from execd.attach.stopped import CHAIN_STACK, StopClock, Stopper
from execd.errors import ExecdError, TargetGone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd.attach.interpreter import Interpreter
    from execd.attach.link import Link
    from execd.attach.ptrace import Ptrace

# On a busy machine a child that has just been forked may not be given the processor for as long, and so does not stop.
_PATIENCE_S = 5.0
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1
# The kernel may leave children out of its list where others end while it is read (proc(5)).
_QUIET_LOOKS = 2


def close_in_children(
    pid: int, ptrace: Ptrace, found: Interpreter, link: Link, patience_s: float = _PATIENCE_S
) -> None:
    """Make the children of a target close what they have of a link, and theirs. One that cannot be touched keeps it.

    The page stays: where the text was queued at the fork, the child's interpreter runs it too, and launch.py ends it.

    Args:
        pid: the target.
        ptrace: of the process that made the link.
        found: the target's CPython, which is its children's too.
        link: what they may have.
        patience_s: how long is tried.

    Raises:
        TargetGone: the target has ended.
    """
    deadline, pause_s = time.monotonic() + patience_s, _FIRST_PAUSE_S
    settled: set[int] = set()
    quiet = 0
    while (children := children_of(pid)) and time.monotonic() < deadline:
        left = [(child, parent) for child, parent in _heirs(pid, children, link, settled) if child not in settled]
        # One after the other, and again those that were busy: none must hold up the rest.
        settled.update(child for child, parent in left if _close_in(child, parent, ptrace, found, link))
        quiet = 0 if left else quiet + 1
        if quiet == _QUIET_LOOKS:
            return
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _close_in(child: int, parent: int, ptrace: Ptrace, found: Interpreter, link: Link) -> bool:
    """Make one child close what it has. Returns whether that is done, or never to be."""
    # A child of vfork stands on its parent's stack, and executes a program in a moment.
    if share_memory(child, parent):
        return True
    try:
        stopper = Stopper(child, ptrace, StopClock(), process.mappings(child))
        # A fork leaves it one thread. While that is held a number does not become that of a file of the child's own.
        with stopper.one(child):
            steps = [x86_64.system_call(found.gadgets, x86_64.CLOSE, number) for number in _held(child, link)]
            if steps:
                stopper.run_chain(child, steps, found.gadgets, b"", CHAIN_STACK)
    except (ExecdError, OSError):
        return False  # it does not stop yet, somebody traces it, or it has ended: then it is found no more
    return True


def _heirs(parent: int, children: list[int], link: Link, settled: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the children that have files of a link, or had until they were settled, and theirs: child, parent."""
    for child in children:
        if child in settled or _held(child, link):
            yield child, parent
            with contextlib.suppress(TargetGone):
                yield from _heirs(child, children_of(child), link, settled)


def _held(pid: int, link: Link) -> list[int]:
    """Return the numbers of the files of a link that a process has under them; none where it is not ours to look at."""
    try:
        return [number for number, *facts in link.files if identity(pid, number) == tuple(facts)]
    except OSError:
        return []
