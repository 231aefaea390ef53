"""The ptrace calls that an attach needs. Every call must come from the OS thread that seized the tracee.

Constants: include/uapi/linux/ptrace.h and elf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time

from execd.attach.signal_frame import own_signal_frame
from execd.errors import AttachBusy, NotPermitted, TargetGone

_CONT = 7
_SEIZE = 0x4206
_INTERRUPT = 0x4207
_DETACH = 17
_GETREGSET = 0x4204
_SETREGSET = 0x4205
_GETSIGMASK = 0x420A
_SETSIGMASK = 0x420B
_GET_RSEQ_CONFIGURATION = 0x420F
_NT_PRSTATUS = 1
_NT_X86_XSTATE = 0x202
_EVENT_STOP = 128
_WALL = 0x40000000
# AMX has 8 KiB of tile data; the rest is under 3 KiB.
_XSTATE_LIMIT = 16384
# A thread that does not stop within this time is in an uninterruptible system call.
_STOP_TIMEOUT_S = 0.25
# Nearly every thread stops within this time, and a sleep of ours would be longer than the stop.
_STAT_BYTES = 512
_SPIN_S = 300e-6


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Ptrace:
    """Raw ptrace on threads of other processes.

    If this process dies at any point the kernel detaches every tracee and lets it run with the registers that it has.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long
        # Made once: what is allocated while a target is stopped costs the target time.
        self._buffer = ctypes.create_string_buffer(_XSTATE_LIMIT)
        self._words = (ctypes.c_uint64 * 3)()
        self.usual_signal_frame = own_signal_frame()
        # Threads that could not be let go yet: where that does not come about, our own end does it (see helper.py).
        self._unreleased: set[int] = set()

    def call(self, request: int, tid: int, address: int, data: int) -> int:
        """Make one ptrace call. The fault tests override this method.

        Raises:
            TargetGone: the thread has ended.
            NotPermitted: the kernel forbids it.
        """
        result = int(self._libc.ptrace(request, tid, address, data))
        if result < 0:
            self._fail(ctypes.get_errno(), request, tid)
        return result

    def seize(self, tid: int) -> None:
        """Become the tracer of a thread without stopping it. Raises AttachBusy where we are it still."""
        if self._unreleased and not self.release() and tid in self._unreleased:
            message = f"thread {tid} could not be let go yet: it ends, or is in an uninterruptible system call"
            raise AttachBusy(message, remedy="try again", tid=tid)
        self.call(_SEIZE, tid, 0, 0)

    def stop(self, tid: int) -> None:
        """Stop a seized thread and wait until it is. Raises as await_stop does."""
        self.interrupt(tid)
        self.await_stop(tid)

    def interrupt(self, tid: int) -> None:
        """Ask a seized thread to stop."""
        self.call(_INTERRUPT, tid, 0, 0)

    def await_stop(self, tid: int) -> None:
        """Wait until a thread that was asked to is stopped.

        Raises:
            AttachBusy: it does not stop, or it is stopped by a signal already.
        """
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while True:
            status = self._wait(tid, deadline)
            if status >> 16 == _EVENT_STOP:
                if os.WSTOPSIG(status) != signal.SIGTRAP:
                    raise AttachBusy(
                        f"thread {tid} is stopped by a signal (job control)", remedy="send it SIGCONT", tid=tid
                    )
                return
            # A signal was on its way: the target must get it. Our stop follows.
            self.call(_CONT, tid, 0, os.WSTOPSIG(status))

    def registers(self, tid: int) -> bytes:
        """Return struct user_regs_struct of a stopped thread."""
        return self._regset(tid, _NT_PRSTATUS, 27 * 8)

    def extended_state(self, tid: int) -> bytes:
        """Return the XSAVE area of a stopped thread in the kernel's uncompacted user format."""
        return self._regset(tid, _NT_X86_XSTATE, _XSTATE_LIMIT)

    def set_registers(self, tid: int, registers: bytes) -> None:
        """Replace the general registers of a stopped thread; it runs on with them even if we die."""
        buffer = ctypes.create_string_buffer(registers, len(registers))
        vector = _Iovec(ctypes.addressof(buffer), len(registers))
        self.call(_SETREGSET, tid, _NT_PRSTATUS, ctypes.addressof(vector))

    def signal_mask(self, tid: int) -> int:
        """Return the thread's blocked signals, of a call with a temporary mask the lasting one."""
        buffer = ctypes.c_uint64()
        self.call(_GETSIGMASK, tid, 8, ctypes.addressof(buffer))
        return int(buffer.value)

    def set_signal_mask(self, tid: int, mask: int) -> None:
        """Replace the thread's lasting signal mask."""
        buffer = ctypes.c_uint64(mask)
        self.call(_SETSIGMASK, tid, 8, ctypes.addressof(buffer))

    def rseq(self, tid: int) -> int:
        """Return the address of the thread's struct rseq, 0 where it has registered none (or before Linux 5.13)."""
        if self._libc.ptrace(_GET_RSEQ_CONFIGURATION, tid, 24, ctypes.addressof(self._words)) < 0:
            return 0
        return int(self._words[0])

    def detach(self, tid: int) -> None:
        """Let a stopped thread run and trace it no longer. One that is not stopped any more is left to `release`."""
        self._let_run(tid, 0)
        if self._unreleased:
            self.release()

    def release(self) -> bool:
        """Let go of the threads that `detach` could not let go of: they have ended, are killed, or stopped too late.

        The kernel keeps a thread that has ended until its tracer has waited for it, and until then the parent of its
        process waits in vain for that one's end. A main thread is waited for when the other threads are gone.

        Returns:
            Whether none is left.
        """
        for tid in list(self._unreleased):
            try:
                done, status = os.waitpid(tid, os.WNOHANG | _WALL)
            except ChildProcessError:
                done, status = tid, 0
            if done:
                self._unreleased.discard(tid)
            if done and os.WIFSTOPPED(status):
                self._let_run(tid, 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status))
        return not self._unreleased

    def _let_run(self, tid: int, signal_number: int) -> None:
        try:
            self.call(_DETACH, tid, 0, signal_number)
        except TargetGone:
            self._unreleased.add(tid)

    def _regset(self, tid: int, kind: int, limit: int) -> bytes:
        vector = _Iovec(ctypes.addressof(self._buffer), limit)
        self.call(_GETREGSET, tid, kind, ctypes.addressof(vector))
        return ctypes.string_at(self._buffer, vector.length)

    def _wait(self, tid: int, deadline: float) -> int:
        began, pause_s = time.monotonic(), 20e-6
        while True:
            done, status = os.waitpid(tid, os.WNOHANG | _WALL)
            if done == tid:
                if not os.WIFSTOPPED(status):
                    raise TargetGone(f"thread {tid} has ended", tid=tid)
                return status
            now = time.monotonic()
            if now - began < _SPIN_S:
                os.sched_yield()
                continue
            if now > deadline:
                raise AttachBusy(
                    f"thread {tid} did not stop within {_STOP_TIMEOUT_S} s; it is in an uninterruptible system call",
                    remedy="try again when it is out of it",
                    tid=tid,
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 1e-3)

    def _fail(self, code: int, request: int, tid: int) -> None:
        # The kernel lets nobody trace a thread that is ending.
        if code == errno.ESRCH or (code == errno.EPERM and _has_ended(tid)):
            raise TargetGone(f"thread {tid} has ended", tid=tid)
        if code in (errno.EPERM, errno.EACCES):
            raise NotPermitted(
                f"the kernel does not let this user trace thread {tid}",
                remedy="run execd as the same user with kernel.yama.ptrace_scope 0, or with CAP_SYS_PTRACE",
                tid=tid,
            )
        raise OSError(code, f"ptrace request {request:#x} on thread {tid}: {os.strerror(code)}")


def _has_ended(tid: int) -> bool:
    try:
        with open(f"/proc/{tid}/stat", "rb") as stat:
            return stat.read(_STAT_BYTES).rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True
