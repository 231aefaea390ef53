"""A sampler of one process: the native one, and what it has met, by name."""

from __future__ import annotations

import math
import os
import secrets
import struct
import time
from typing import TYPE_CHECKING

from execd import _sampler
from execd._sampler import Crowd
from execd.attach.layout import DEBUG_OFFSETS_SIZE
from execd.attach.memory import Memory, Unmapped
from execd.errors import AttachBusy, TargetGone
from execd.sampling.code_reader import CodeObject, CodeReader, Unreadable
from execd.sampling.frame_layout import frame_layout_for
from execd.sampling.layout_check import check
from execd.sampling.native_layout import native_layout
from execd.sampling.samples import Samples
from execd.sampling.walk import interpreters, threads, walk

__all__ = ["Crowd", "ProcessSampler"]

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter
    from execd.sampling.frame_layout import FrameLayout

# Of 16 bytes, their counts and their place in a table: 60 MB at most.
_MOST_NODES = 1 << 20
_ADDRESS = struct.Struct("<Q")
# The type of an object comes after its reference count (Include/object.h).
_TYPE = 8
_LOOKS = 20
# What is new is read within this time, whatever a process says of it: thousands of code objects.
_READING_S = 0.5


class ProcessSampler:
    """Takes the stacks of a process from outside, until it is closed or the process has ended.

    Args:
        pid: of the process.
        interpreter: in it.
        stopping: STOP_AS_NEEDED, STOP_ALWAYS or STOP_NEVER of `execd._sampler`: whether the running threads are stopped
            while they are read.
        thread: the only one that is sampled, by the kernel's number in the process's own PID namespace; 0 for all.

    Raises:
        NotSupported: what is known of its version does not fit it.
        TargetGone: it has ended.
    """

    def __init__(self, pid: int, interpreter: Interpreter, stopping: int, thread: int = 0) -> None:
        memory = Memory(pid)
        layout = frame_layout_for(interpreter.version, memory.read(interpreter.runtime, DEBUG_OFFSETS_SIZE))
        self._reader, self._fingerprint = CodeReader(memory, layout), layout.code.fingerprint
        self.samples = Samples()
        try:
            # First: so it is of the process that is looked at.
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise TargetGone(f"process {pid} has ended", pid=pid) from None
        try:
            check(memory, layout, interpreter.runtime)
            fields = native_layout(layout, interpreter.runtime, _code_type(memory, layout, interpreter.runtime))
            seed = secrets.randbits(63)
            self._native = _sampler.Sampler(pid, self._pidfd, fields, _MOST_NODES, stopping, seed, thread)
        except BaseException:
            os.close(self._pidfd)
            raise
        self.closed = False
        self._crowd: Crowd | None = None

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        end = self._native.end()
        return end is not None and end[0] == "ended"

    @property
    def replaced(self) -> bool:
        """Whether its process executes another program now."""
        end = self._native.end()
        return end is not None and end[0] == "replaced"

    @property
    def over_at(self) -> float:
        """When one or the other was seen, time.monotonic(); inf before."""
        end = self._native.end()
        return end[1] if end else math.inf

    def start(self, crowd: Crowd, interval_ns: int) -> None:
        """Begin.

        Args:
            crowd: in which the turns are taken.
            interval_ns: from one to the next on average.
        """
        crowd.add(self._native, interval_ns)
        self._crowd = crowd

    def turn(self) -> None:
        """Take one sample of every thread now, in the thread that calls; of a sampler that was not started."""
        self._native.turn()

    def news(self) -> int:
        """Return a descriptor that is readable while `drain` has code objects to read, or the sampler has ended."""
        return self._native.news()

    def drain(self) -> None:
        """Take what is new; often enough that what code objects say is still there."""
        known = self.samples
        taken = self._native.take(len(known.nodes), len(known.codes))
        if taken is None:
            return  # it is for the next time
        known.add(taken)
        deadline = time.monotonic() + _READING_S
        for start in range(0, len(taken["codes"]), _sampler.CODE_BYTES):
            met = taken["codes"][start : start + _sampler.CODE_BYTES]
            known.codes.append(self._read(met) if time.monotonic() < deadline else _unread(met))

    def close(self) -> None:
        """End, and take what is left."""
        self.closed = True
        if self._crowd is not None:
            self._crowd.remove(self._native)
        try:
            self.drain()
        finally:
            os.close(self._pidfd)

    def _read(self, met: bytes) -> CodeObject | Unreadable:
        """Return what a code object says that the sampler has met, if it is that one still."""
        (address,), head = _ADDRESS.unpack_from(met), met[_sampler.CODE_HEAD :]
        mark = b"".join(head[at : at + size] for at, size in self._fingerprint)
        try:
            found = self._reader.read(address)
        except TargetGone as error:
            return Unreadable(address, error.message)
        if isinstance(found, CodeObject) and found.fingerprint != mark:
            return Unreadable(address, "another one lies there now")
        return found


def _unread(met: bytes) -> Unreadable:
    (address,) = _ADDRESS.unpack_from(met)
    return Unreadable(address, "there were too many at once")


def _code_type(memory: Memory, layout: FrameLayout, runtime: int) -> int:
    """Return the address of the type of code objects. Raises AttachBusy where no thread has a frame of Python."""
    for _ in range(_LOOKS):
        try:
            for thread in threads(memory, layout, interpreters(memory, layout, runtime)[-1]):
                stack = walk(memory, layout, thread.address)
                if stack.whole and stack.frames:
                    return memory.read_u64(stack.frames[-1].code + _TYPE)
        except Unmapped:
            continue
    raise AttachBusy("no thread of the target runs Python code", remedy="try again")
