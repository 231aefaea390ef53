"""The calls collector, native form: the core hears every event, and keeps the tree; see inprocess/native/.

What a function, a thread or a stack says is asked here, the first time that the core meets it. The Python form
(calls.py) is the oracle: both tell the same of a program.
"""

from __future__ import annotations

import _thread
import posix
import sys
from time import perf_counter_ns

from execd_agent import compat, wire
from execd_agent.collectors import Refused, cfunctions
from execd_agent.collectors.calls import DEFAULT_MAX_BYTES, bias_of, filters_of
from execd_agent.collectors.calltree import (
    RESUMED,
    code_bytes,
    greenlets,
    native_id_of,
    native_ids,
    outermost,
    thread_name,
)
from execd_agent.collectors.fanout import STARTS
from execd_agent.collectors.selection import OWN_CODE
from execd_agent.collectors.subscription import Subscription
from execd_agent.core import Unfit
from execd_agent.frames import innermost_frames
from execd_agent.originals import current_thread_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# Of each thread, at each beat: see eventcost.py.
_TIMED = 1000


class NativeCalls:
    """One calls session.

    Args:
        core: the core's module, which has one recording at a time.
        options: as for calls.py; a timer of the program's is the Python form's alone.

    Raises:
        Unfit, Refused: it cannot be here.
    """

    form = "native"
    broken = ""
    # What EventCosts times the handlers of; the core does that itself.
    trees: tuple[()] = ()
    clock: Any = staticmethod(perf_counter_ns)

    def __init__(self, core: Any, options: dict[str, Any]) -> None:
        _require_reach()
        self._core = core
        self._builtins = bool(options.get("builtins", True))
        self._off: list[CodeType] = []
        # Where it goes on in time slices.
        self.slices: Any = None
        self._hooks = Subscription(
            self._handlers, disabled=self._disabled, resume=self._resume, force=bool(options.get("force"))
        )
        # The threads that ran when the session began, each with its outermost frame: numbers are given out again.
        self._initial: dict[int, int] = {}
        self._follows = False
        self._measures = bias_of(options) == "auto"
        self._costs: Any = None
        self._began_ns = self._ended_ns = 0
        self._pid = posix.getpid()
        self._clock: Any = None
        if options.get("clock") == "cpu":
            from execd_agent.collectors.clocks import CpuClock  # noqa: PLC0415 - what few ask for

            self._clock = CpuClock()
            self.clock = self._clock.read
        told: Any = getattr(sys, "monitoring", None)
        kinds = cfunctions.FUNCTION, cfunctions.METHOD, getattr(told, "MISSING", None), getattr(told, "DISABLE", None)
        questions = self._code, _c_function, self._thread, self._stack, _is_own
        max_bytes = int(options.get("max_memory_bytes") or DEFAULT_MAX_BYTES)
        self._filters = filters_of(options, max_bytes)
        if self._filters is not None:
            max_bytes -= self._filters.max_bytes
        try:
            self.tables: int = core.open(max_bytes, self._clock is not None, questions, kinds)
        except (ValueError, MemoryError) as error:
            raise Unfit(str(error)) from None
        self._file = _identity(self.tables)
        if self._filters is not None:
            core.select(self._filters.choice)

    def start(self) -> list[str]:
        """Arm every thread but the calling one. Returns caveats. Raises Refused."""
        self._initial = {ident: id(outermost(frame)) for ident, frame in innermost_frames()}
        if self._clock is not None:
            self._clock.begin()
        self._follow_greenlets()
        self._began_ns = perf_counter_ns()
        self._core.begin()
        # Some may have no event as long as it lasts. None comes before all are there.
        for ident, frame in innermost_frames():
            self._enter(ident, frame)
        if self._filters is not None:
            self._hooks.note(self._filters.caveat)
        return self._hooks.install()

    @property
    def memory_bytes(self) -> int:
        """About how much memory the tables take."""
        used_bytes: int = self._core.beat(0)[0]
        return used_bytes + (self._filters.used_bytes if self._filters is not None else 0)

    @property
    def lost_calls(self) -> int:
        """How many calls the memory limit has left out."""
        lost: int = self._core.beat(0)[1]
        return lost

    def poll(self) -> None:
        """Look for threads that nothing told us of, or that have gone; called from time to time while armed."""
        self._hooks.poll()
        self._follow_greenlets()
        self._measure()
        if not self._ended_ns:
            self._core.retain(native_ids())

    def let_go(self) -> None:
        """Close the descriptor of the tables: the daemon has them now, or it never will."""
        # A program that closes what it does not know may have a file of its own there.
        if self.tables >= 0 and _identity(self.tables) == self._file:
            posix.close(self.tables)
        self.tables = -1

    def facts(self) -> dict[str, Any]:
        """Return what is to be told beside the tables, and changes seldom."""
        return {
            "lost": {},
            "caveats": self._hooks.caveats,
            "extra": {} if self._costs is None else self._costs.figures(),
            "labels": _names(),
        }

    def snapshot(self) -> bytes:
        """Return the tables as they are now, and all facts."""
        self._measure()
        if not self._ended_ns:
            self._core.retain(native_ids())
        return wire.encode_table(self.last_facts(), [("core", "u1", self._core.copy() or b"")])

    def last_facts(self) -> dict[str, Any]:
        """Return all that is to be told beside the tables."""
        span_ns = (self._ended_ns or perf_counter_ns()) - self._began_ns
        return {**self.facts(), "span_ns": span_ns, "cpu_ns": self._cpu_ns()}

    mark = snapshot

    def switch_off(self, indexes: list[int]) -> list[int]:
        """Record no more calls of some functions: their figures stay as they are, their later time is their callers'.

        Args:
            indexes: their numbers in the tables.

        Returns those that were switched off now: the others are none of code, or were off.

        Raises:
            Refused: below 3.12 all calls are told, and one that is not recorded costs what others do.
        """
        if not compat.HAS_MONITORING:
            raise Refused("below 3.12 the interpreter tells of every call: switching a function off saves nothing")
        if self._ended_ns:
            return []
        done = []
        for index in indexes:
            code = self._core.switch_off(index)
            if code is not None:
                self._off.append(code)
                done.append(index)
        return done

    def slice(self, share: float) -> dict[str, int]:
        """Record for a share of the time from now on, or for another one.

        Args:
            share: above 0 and below 1.

        Returns what switching has taken, and how many slices there were.

        Raises:
            Refused: from 3.12 on it would save less than switching functions off; or others hear the same events.
        """
        if compat.HAS_MONITORING:
            raise Refused("from 3.12 on there are no time slices: functions can be switched off")
        if self._ended_ns:
            return {}
        if self.slices is None:
            from execd_agent.collectors.slices import Slices  # noqa: PLC0415 - what few need

            self.slices = Slices(self._core, self._hooks, self._codes, self._enter, self._break)
        said: dict[str, int] = self.slices.begin(share)
        return said

    def stop(self) -> None:
        """Disarm. What was recorded stays until `free`."""
        # A child that was forked has it too.
        self.let_go()
        if self._ended_ns:
            return
        if posix.getpid() == self._pid:
            self._measure()
            self._core.retain(native_ids())
            if self.slices is not None:
                self.slices.close()
        try:
            self._hooks.remove()
        finally:
            self._core.end()
            self._ended_ns = perf_counter_ns()
            if self._clock is not None:
                self._clock.end()

    def free(self) -> None:
        """Let go of what was recorded; after `stop`."""
        self.let_go()
        self._core.close()
        if self._filters is not None:
            self._filters.free()

    def _disabled(self) -> list[CodeType]:
        return self._off + (self._filters.codes() if self._filters is not None else [])

    def costs(self) -> dict[str, Any]:
        """Return the prices of events, once measured, and whether it measures next time; the daemon counts them."""
        if self._costs is None:
            return {"measures": self._measures}
        return {"prices": self._costs.prices.figures(), "measures": self._measures and self._costs.is_due}

    def _handlers(self, depth: int, disable: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._core.callbacks(depth - 1, disable is not None)
        if not self._builtins:
            found = {name: found[name] for name in ("enter", "leave")}
        return found if compat.HAS_MONITORING else {**found, "trampoline": self._core.trampoline(self._builtins)}

    def _measure(self) -> None:
        """Measure what an event costs: not before the start is answered, which somebody waits for."""
        if self._ended_ns:
            return
        if not self._measures:
            return
        self._core.beat(_TIMED)
        try:
            if self._costs is None:
                from execd_agent.collectors.nativecost import NativeCosts  # noqa: PLC0415 - as it says

                self._costs = NativeCosts(self, self._core, self._handlers, builtins=self._builtins)
            self._costs.measure()
        except Exception:  # noqa: BLE001 - an audit hook of the target's forbids it: its times stay as they are recorded
            self._measures = False

    def _code(self, code: CodeType) -> tuple[bytes, bytes, bytes, int, int, bool]:
        """Describe a code object that is called for the first time."""
        if code.co_name == STARTS:
            self._hooks.starts()
        return _described_code(code)

    def _thread(self, skipped: int, entering: int) -> tuple[Any, ...]:
        """Describe the calling thread, which has its first event: `entering` a frame, which is none of its own yet."""
        frame = sys._getframe(1 + skipped)
        ident = current_thread_id()
        found = self._described(ident, _thread.get_native_id(), frame)
        if entering:
            found = *found[:5], self._codes(frame.f_back)
        if skipped:
            self._hooks.shortcut()
        # Its number, and the place of its outermost frame, are given to others when it has ended.
        self._initial.pop(ident, None)
        return found

    def _described(self, ident: int, native_id: int, frame: FrameType) -> tuple[Any, ...]:
        """Return what the core's question for a thread does; see recording.h."""
        is_old = self._initial.get(ident) == id(outermost(frame))
        began = None if self._clock is None else self._clock.began_ns(native_id)
        return ident, native_id, _text(thread_name(ident, frame)), began or 0, is_old, self._codes(frame)

    def _enter(self, ident: int, frame: FrameType) -> None:
        self._core.enter(self._described(ident, native_id_of(ident), frame))

    def _break(self, why: str) -> None:
        self.broken = why

    def _resume(self, ident: int, frame: FrameType | None) -> None:
        """Go on with a thread that was not recorded for a while: nobody is credited with that time."""
        now_ns = 0 if self._clock is None else self._clock.now_ns(native_id_of(ident))
        if now_ns is not None:
            self._core.resume(ident, self._codes(frame), now_ns)

    def _stack(self, skipped: int, entering: int) -> tuple[CodeType, ...]:
        self._follow_greenlets()
        frame = sys._getframe(1 + skipped)
        return self._codes(frame.f_back if entering else frame)

    def _follow_greenlets(self) -> None:
        """Hear of switches, as soon as the program has greenlets: its stack did not fit, or it is a new beat."""
        api = greenlets(sys.modules).get("_C_API")
        if api is not None and not self._follows:
            self._follows = True
            self._core.follow(api)

    def _codes(self, frame: FrameType | None) -> tuple[CodeType, ...]:
        """Return the code objects of a stack that are recorded, the outermost first."""
        found = []
        while frame is not None:
            if self._filters is None or not self._filters.choice(frame.f_code, frame):
                found.append(frame.f_code)
            frame = frame.f_back
        return tuple(found[::-1])

    def _cpu_ns(self) -> dict[str, int]:
        """Return what the CPU clocks of threads show, by the system's number."""
        if self._clock is None:
            return {}
        shown = {str(number): self._clock.now_ns(number) for number in self._clock.numbers()}
        return {number: ns for number, ns in shown.items() if ns is not None}


def _require_reach() -> None:
    """Raise Unfit where other threads can be reached one by one alone, from within."""
    if compat.HAS_MONITORING:
        return
    from execd_agent.collectors.threadstates import NoThreadStates, Slot, ThreadStates  # noqa: PLC0415 - for 3.12 not

    try:
        ThreadStates(Slot("profile"))
    except NoThreadStates as error:
        raise Unfit(str(error)) from None


def _described_code(code: CodeType) -> tuple[bytes, bytes, bytes, int, int, bool]:
    qualname = code.co_qualname if compat.HAS_QUALNAME else code.co_name
    texts = _text(code.co_name), _text(qualname), _text(code.co_filename)
    # What of ours is called to measure is in no account.
    taken = 0 if _is_own(code) else code_bytes(code)
    return (*texts, max(code.co_firstlineno, 0), taken, bool(code.co_flags & RESUMED))


def _c_function(function: Any) -> bytes:
    return _text(cfunctions.printed(function))


def _is_own(code: CodeType) -> bool:
    return code.co_filename.startswith(OWN_CODE)


def _identity(descriptor: int) -> tuple[int, int]:
    try:
        facts = posix.fstat(descriptor)
    except OSError:
        return -1, -1
    return facts.st_dev, facts.st_ino


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _names() -> list[dict[str, Any]]:
    """Return the names that the threading module has of its threads now."""
    active = getattr(sys.modules.get("threading"), "_active", {})
    named = {ident: getattr(thread, "_name", None) for ident, thread in list(active.items())}
    return [
        {"thread_id": ident, "thread_name": name, "domain": 0}
        for ident, name in named.items()
        if type(ident) is int and isinstance(name, str)
    ]
