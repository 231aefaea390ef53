"""Getting the injected text to run: in a borrowed thread where one idles, else at the next safe point of bytecode.

The order of the attempts, and what may be done to which thread, is the core of the attach's safety:
a thread is borrowed only while it waits in a system call with the GIL released and no C library lock held; everything
else is left to the interpreter itself, which runs the text where it runs signal handlers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach import call, debugger, late_signals, pending, process, rootfs, x86_64
from execd.attach.link import CODE_SIZE, unmap_step
from execd.attach.place import where
from execd.attach.stopped import PYTHON_STACK
from execd.errors import AgentFailed, AttachBusy, AttachTimeout, NotPermitted, TargetGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.attach.interpreter import Gil, Interpreter, ThreadState
    from execd.attach.link import Link
    from execd.attach.stopped import Stopper

BORROWED = "borrowed thread"
PENDING_CALL = "pending call"
REMOTE_DEBUGGER = "remote debugger"

_FRAMES_LEFT = 50
# A process of 10,000 threads is not stopped one by one for a thread to borrow.
_THREADS_TRIED = 64
# PyGILState_Ensure of a thread that let go of the GIL returns this, and PyGILState_Release wants it back (pystate.h).
_GILSTATE_UNLOCKED = 1
_FIRST_LOOK_S = 0.03
_LATER_LOOK_S = 0.1
# A script that was taken up so long ago, and whose agent has not answered, may have ended before its first line.
_LOST_S = 0.5
# A signal handler that raises each millisecond ends some tries; an audit hook that refuses the text ends each.
_FAILURES_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Begun:
    """A text that a borrowed thread has been given: beyond recall."""


class Injection:
    """One text on its way into one target.

    Args:
        stopper: of the target.
        found: its CPython.
        link: holds the text at link.text_address, and for 3.14+ in its marker.
        arrived: waits for at most the given seconds and tells whether the agent has answered.
        cancelled: tells whether the operator has given up.
        function: what the ring is to call (call.py), None for PyRun_SimpleString.
    """

    def __init__(
        self,
        stopper: Stopper,
        found: Interpreter,
        link: Link,
        arrived: Callable[[float], bool],
        cancelled: Callable[[], bool],
        function: int | None = None,
    ) -> None:
        self._stopper = stopper
        self._found = found
        self._link = link
        self._arrived = arrived
        self._cancelled = cancelled
        self._queued: pending.Entry | debugger.Request | Begun | None = None
        self._hindrance = ""
        self._taken_up_s: float | None = None
        self._failures = 0
        # A program without a /proc has no name for the marker; the ring needs none, and is there on every version.
        self._function = function
        self._by_script = (
            function is None and found.layout.debugger is not None and rootfs.opens_by_number(stopper.pid, link.marker)
        )

    @property
    def is_undone(self) -> bool:
        """Whether nothing of it has run, runs or waits in the target."""
        return self._queued is None and self._taken_up_s is None

    def run(self, deadline: float) -> str:
        """Return how the text came to run, once the agent has answered.

        Args:
            deadline: on time.monotonic().

        Raises:
            AttachTimeout: it did not by then; what was queued has been taken out again.
            AgentFailed: the link was closed in the target, by whomever; the same.
        """
        method, wait_s = "", _FIRST_LOOK_S
        while True:
            # A thread that did not stop in time is not kept when it does.
            self._stopper.ptrace.release()
            try:
                method = self._attempt(everywhere=wait_s > _FIRST_LOOK_S) or method
                if self._arrived(min(wait_s, max(deadline - time.monotonic(), 0.001))):
                    self._withdraw_second()
                    return method
            except AgentFailed:
                self._withdraw()
                raise
            if time.monotonic() >= deadline or self._cancelled():
                self._give_up(method)
            wait_s = _LATER_LOOK_S

    def _attempt(self, *, everywhere: bool) -> str:
        """Do what can be done now. Returns the method, "" where nothing new could be done."""
        if self._found.finalizing():
            raise NotPermitted("the target's interpreter is ending", remedy="nothing: it will be gone soon")
        try:
            if self._has_begun() and not self._is_lost():
                return ""
            threads = process.threads(self._stopper.pid)
            gil = self._found.gil()
            for tid in threads[:_THREADS_TRIED] if everywhere else threads[:1]:
                if self._may_wait(tid, gil) and self._borrow(tid):
                    return BORROWED
            return self._queue() if self._queued is None else self._wake()
        except AttachBusy as error:
            self._hindrance = error.message
            return ""

    def _has_begun(self) -> bool:
        """Whether the text is beyond recall: in a borrowed thread, or taken up by the interpreter."""
        match self._queued:
            case pending.Entry() as entry:
                return not pending.is_queued(self._found, entry)
            case debugger.Request() as request:
                return not debugger.is_queued(self._found, request)
            case Begun():
                return True
        return False

    def _is_lost(self) -> bool:
        """Whether a script that was taken up is to be queued once more: launch.py does nothing where it has run.

        The interpreter prints what a signal handler of the target raises before the script's first line, and goes on.
        """
        if isinstance(self._queued, pending.Entry) and self._function and call.take_failure(self._found, self._link):
            self._failures += 1
            if self._failures == _FAILURES_LIMIT:
                # The thread that failed may stand in the page yet, and what was made stays with it.
                self._queued = Begun()
                raise AgentFailed("an exception of the target ends each try to start the agent", remedy="try again")
            self._queued = None
            return True
        if not isinstance(self._queued, debugger.Request):
            return False
        now = time.monotonic()
        self._taken_up_s = self._taken_up_s or now
        if now - self._taken_up_s < _LOST_S:
            return False
        self._queued, self._taken_up_s = None, now
        return True

    def _withdraw_second(self) -> None:
        """Take a script out that was queued once more, and whose first one has run after all."""
        if self._taken_up_s is not None:
            self._withdraw()

    def _may_wait(self, tid: int, gil: Gil) -> bool:
        """Look without stopping: most threads that cannot be borrowed show it (/proc/PID/task/TID/syscall)."""
        try:
            call = process.read_file(f"/proc/{self._stopper.pid}/task/{tid}/syscall").split()
        except TargetGone:
            return False
        if not call or not call[0].isdigit():
            return False
        return x86_64.may_be_lent(int(call[0]), int(call[2], 16), is_gil=gil.contains(int(call[1], 16)))

    def _borrow(self, tid: int) -> bool:
        """Lend the text to a thread that idles. With something queued, that is taken out first."""
        states = self._found.thread_states()
        if tid == self._stopper.pid and late_signals.waits(self._found, states):
            late_signals.hand_on(self._stopper, self._found)
            raise AttachBusy("a signal of the target waits for its handler", remedy="try again")
        with self._stopper.one(tid):
            if not self._lendable(self._stopper.registers(tid), states):
                return False
            if self._queued is None:
                self._start_in(tid, states)
                return True
        if self._take_out():
            with self._stopper.one(tid):
                if self._lendable(self._stopper.registers(tid), states):
                    self._start_in(tid, states)
                    return True
        return False

    def _start_in(self, tid: int, states: list[ThreadState]) -> None:
        functions, gadgets = self._found.functions, self._found.gadgets
        state = _state_of(states, self._stopper.registers(tid)["fs_base"])
        steps = [x86_64.Step(functions["PyRun_SimpleString"], (self._link.text_address,))]
        if state is not None and self._function is not None:
            enter, leave = call.bounds(self._found, self._link)
            steps = [x86_64.Step(enter, (state.address,)), *steps, x86_64.Step(leave, (state.address,))]
        steps = [
            x86_64.Step(functions["PyGILState_Ensure"], ()),
            *steps,
            x86_64.Step(functions["PyGILState_Release"], (_GILSTATE_UNLOCKED,)),
            unmap_step(self._found, self._link),
        ]
        self._stopper.run_chain(tid, steps, gadgets, b"", PYTHON_STACK)
        self._queued = Begun()

    def _lendable(self, registers: x86_64.Registers, states: list[ThreadState]) -> bool:
        """Whether a stopped thread may run the text; `states` were read before, and hold it if it is Python's."""
        number = registers.system_call
        state = _state_of(states, registers["fs_base"])
        gil = self._found.gil()
        if number is None or state is None or gil.holder == state.address or not self._found.takes_gilstate(state):
            return False
        # The handler would run within the text, before that can catch what it raises.
        if late_signals.waits(self._found, [state]):
            return False
        waits = x86_64.may_be_lent(number, registers["rsi"], is_gil=gil.contains(registers["rdi"]))
        return waits and not registers.sleeps_on and self._found.recursion_left(state) >= _FRAMES_LEFT

    def _require_frames(self) -> None:
        """Refuse while a thread that may take the text up has no room for it: on 3.12 and 3.13 that is any of them."""
        for state in self._found.thread_states():
            if self._found.recursion_left(state) < _FRAMES_LEFT:
                raise AttachBusy("a thread of the target is near its recursion limit", remedy="try again")

    def _queue(self) -> str:
        self._require_frames()
        with self._stopper.all() as tids:
            if self._failures and any(self._is_in_call(tid) for tid in tids):
                raise AttachBusy("a thread of the target has not left the last try yet", remedy="try again")
            main = _state_of(self._found.thread_states(), self._stopper.registers(tids[0])["fs_base"])
            if main is not None and self._found.recursion_left(main) < _FRAMES_LEFT:
                raise AttachBusy("the target is near its recursion limit", remedy="try again")
            if main is None or not self._by_script:
                debugger.require_enabled(self._found)
                self._queued = pending.queue(self._found, *self._call())
                return PENDING_CALL
            self._queued = debugger.queue(self._found, main, f"/proc/self/fd/{self._link.marker}")
            return REMOTE_DEBUGGER

    def _is_in_call(self, tid: int) -> bool:
        place = self._stopper.registers(tid)["rip"] - self._link.code_address
        return 0 <= place < CODE_SIZE

    def _call(self) -> tuple[int, int | None]:
        """Return what the ring is to call: argument and function."""
        return (self._link.code_address, self._function) if self._function else (self._link.text_address, None)

    def _wake(self) -> str:
        """Set the flags again: a thread that was computing eval_breaker when we stopped it has overwritten ours."""
        match self._queued:
            case pending.Entry() as entry if not pending.is_awake(self._found):
                with self._stopper.all():
                    self._queued = pending.wake(self._found, entry)
            case debugger.Request() as request if not debugger.is_awake(self._found, request):
                with self._stopper.all():
                    self._queued = debugger.wake(self._found, request)
        return ""

    def _take_out(self) -> bool:
        """Take the queued text out. Returns False where it has run or is running."""
        taken = self._queued is None
        with self._stopper.all():
            match self._queued:
                case pending.Entry() as entry:
                    taken = pending.cancel(self._found, entry)
                case debugger.Request() as request:
                    taken = debugger.cancel(self._found, request)
        if taken:
            self._queued = None
        return taken

    def _withdraw(self) -> bool:
        """Take the text out, and tell whether nothing of it is left."""
        for _ in range(20):
            if self.is_undone or self._has_begun():
                break
            try:
                self._take_out()
                break
            except AttachBusy:
                time.sleep(0.005)
        return self.is_undone

    def _give_up(self, method: str) -> None:
        undone = self._withdraw()
        place = where(self._stopper.pid, self._found, self._stopper)
        thread = "main thread" if place.tid == self._stopper.pid else f"thread {place.tid}"
        hindrance = f" ({self._hindrance})" if self._hindrance else ""
        reason = "was cancelled" if self._cancelled() else "timed out"
        raise AttachTimeout(
            f"the attach to process {self._stopper.pid} {reason}: "
            f"its {thread} is {place} and reached no safe point{hindrance}",
            remedy="try again with a longer --attach-timeout, in Python timeout_s, or when it is out of there",
            pid=self._stopper.pid,
            method=method or "none",
            undone=undone,
        )


def _state_of(states: list[ThreadState], thread_id: int) -> ThreadState | None:
    return next((state for state in states if state.thread_id == thread_id), None)
