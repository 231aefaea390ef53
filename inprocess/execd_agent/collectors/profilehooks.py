"""The calls handlers as a profile function on every thread state (3.9 to 3.11).

sys.setprofile reaches the calling thread alone. `_PyEval_SetProfile(tstate, function, object)` reaches any (exported by
3.9 to 3.13); it is given the interpreter's own trampoline, taken from our thread state after a sys.setprofile there, so
that an event costs what it costs with sys.setprofile. New threads of the threading module get the function by
threading.setprofile; `poll` finds the others.
"""

from __future__ import annotations

import sys
import time

from execd_agent import originals
from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.events import Handlers

# sizeof(PyThreadState) is 280 to 360 in 3.9 to 3.11; the fields that we look for lie within the first 128 bytes.
_WORDS_LOOKED_AT = 24


class NoThreadStates(Exception):
    """Other threads cannot be reached here."""


def make_profile_function(handlers: Handlers, *, builtins: bool) -> Any:
    """Return a profile function for sys.setprofile that feeds the handlers."""
    enter, leave = handlers.enter, handlers.leave
    enter_c, leave_c = handlers.enter_c, handlers.leave_c

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            enter(frame.f_code)
        elif event == "return":
            leave(frame.f_code)
        elif not builtins:
            return
        elif event == "c_call":
            enter_c(frame.f_code, 0, argument, argument)
        else:
            leave_c(frame.f_code, 0, argument, argument)

    return profile


def chained(profile: Any, previous: Any) -> Any:
    """Return a profile function that calls the target's own one too; the handlers are a frame further away."""

    def both(frame: FrameType, event: str, argument: Any) -> None:
        profile(frame, event, argument)
        previous(frame, event, argument)

    return both


class ProfileHooks:
    """The profile function in all threads, and what was there before it.

    Args:
        make_handlers: makes the handlers for so many frames between them and the target's.
        builtins: whether to tell them of C functions.

    Raises NoThreadStates where there is no way to other threads.
    """

    def __init__(self, make_handlers: Callable[[int], Handlers], *, builtins: bool) -> None:
        self.caveats: list[str] = []
        self._profile = make_profile_function(make_handlers(2), builtins=builtins)
        self._profile_below_another = make_profile_function(make_handlers(3), builtins=builtins)
        self._states = ThreadStates(self._profile)
        self._replaced: dict[int, Any] = {}
        self._armed: dict[int, Any] = {}
        self._previous_hook: Any = None
        self._own_ident = originals.current_thread_id()

    def install(self) -> list[str]:
        """Set the function in every thread but this one. Raises Refused."""
        self._refuse_foreign_profilers()
        threading = sys.modules.get("threading")
        if threading is not None:
            self._previous_hook = threading._profile_hook
            threading.setprofile(self._profile)
        self.poll()
        return self.caveats

    def poll(self) -> None:
        """Set the function in threads that have none yet."""
        states = self._states.by_ident()
        # The number of a thread that ended is given to a new one, whose profile function nobody has looked at.
        for ended in self._armed.keys() - {ident for ident, _ in states}:
            del self._armed[ended]
            self._replaced.pop(ended, None)
        for ident, state in states:
            function, installed = self._states.profile_of(state)
            if ident == self._own_ident or installed is self._profile or ident in self._armed:
                continue
            if function not in (0, self._states.trampoline):
                self._note("a C profiler runs in thread %d, which is not recorded" % ident)
                continue
            if installed is not None:
                self._replaced[ident] = installed
            self._armed[ident] = self._profile if installed is None else chained(self._profile_below_another, installed)
            self._states.set_profile(state, self._armed[ident])

    def remove(self) -> None:
        """Take the function out where it still is, and put back what was there."""
        threading = sys.modules.get("threading")
        if threading is not None and threading._profile_hook is self._profile:
            threading.setprofile(self._previous_hook)
        for ident, state in self._states.by_ident():
            _, installed = self._states.profile_of(state)
            if installed is self._profile or (installed is not None and installed is self._armed.get(ident)):
                self._states.set_profile(state, self._replaced.get(ident))
            elif ident in self._armed:
                self._note("the target replaced its profile function in thread %d; recording ended there" % ident)

    def _refuse_foreign_profilers(self) -> None:
        for ident, state in self._states.by_ident():
            function, installed = self._states.profile_of(state)
            if installed is not None and function != self._states.trampoline:
                name = type(installed).__module__ + "." + type(installed).__name__
                raise Refused("a profiler written in C (%s) is active in thread %d" % (name, ident))

    def _note(self, caveat: str) -> None:
        if caveat not in self.caveats:
            self.caveats.append(caveat)


class ThreadStates:
    """The interpreter's thread states, through `_ctypes` alone: the ctypes package would bring further modules along.

    Raises NoThreadStates where the interpreter has no `_ctypes`.
    """

    def __init__(self, probe: Any) -> None:
        try:
            import _ctypes  # noqa: PLC0415 - not every interpreter has it
        except ImportError as error:
            raise NoThreadStates from error
        self._ctypes = _ctypes
        dlopen: Any = _ctypes.dlopen
        self._library = dlopen(None, 0)
        self._pointer: Any = type("pointer", (_ctypes._SimpleCData,), {"_type_": "P"})
        self._object = type("object", (_ctypes._SimpleCData,), {"_type_": "O"})
        self._words: Any = type("words", (_ctypes.Array,), {"_type_": self._pointer, "_length_": _WORDS_LOOKED_AT})
        self._main = self._function("PyInterpreterState_Main")
        self._head = self._function("PyInterpreterState_ThreadHead", self._pointer)
        self._next = self._function("PyThreadState_Next", self._pointer)
        self._set = self._function("_PyEval_SetProfile", self._pointer, self._pointer, self._object)
        self._clear = self._function("_PyEval_SetProfile", self._pointer, self._pointer, self._pointer)
        self._own = self._function("PyThreadState_Get")()
        self._object_word = self._find_profile_word(probe)
        self._ident_offset = self._find_ident_offset()

    def by_ident(self) -> list[tuple[int, int]]:
        """Return (thread id, address) of every thread state of the main interpreter.

        The list is walked under the GIL, which a thread needs to leave it. Having just been given the GIL we keep it
        for a switch interval of 5 ms, and a state takes about 2 us here.
        """
        originals.original(time, "sleep")(0)
        found = []
        state = self._head(self._main())
        while state:
            found.append((self._ident(state), state))
            state = self._next(state)
        return found

    def profile_of(self, state: int) -> tuple[int, Any]:
        """Return (C function, object) of a thread state's profiler: (0, None) where there is none."""
        words = self._words.from_address(state)
        address = words[self._object_word]
        return words[self._object_word - 2] or 0, self._ctypes.PyObj_FromPtr(address) if address else None

    def set_profile(self, state: int, function: Any) -> None:
        """Set a Python-level profile function on a thread state, or with None take it away."""
        if function is None:
            self._clear(state, None, None)
        else:
            self._set(state, self.trampoline, function)

    def _function(self, name: str, *arguments: Any) -> Any:
        flags = self._ctypes.FUNCFLAG_CDECL | self._ctypes.FUNCFLAG_PYTHONAPI
        members = {"_flags_": flags, "_restype_": self._pointer, "_argtypes_": arguments}
        prototype = type(name, (self._ctypes.CFuncPtr,), members)
        return prototype(self._ctypes.dlsym(self._library, name))

    def _find_profile_word(self, probe: Any) -> int:
        """Find c_profileobj in our own thread state, and c_profilefunc, two words before it (cpython/pystate.h)."""
        previous = sys.getprofile()
        sys.setprofile(probe)
        words = list(self._words.from_address(self._own))
        sys.setprofile(previous)
        index = words.index(id(probe))
        self.trampoline = words[index - 2]
        return index

    def _find_ident_offset(self) -> int:
        words: Any = type("words", (self._ctypes.Array,), {"_type_": self._pointer, "_length_": 32})
        return list(words.from_address(self._own)).index(originals.current_thread_id()) * 8

    def _ident(self, state: int) -> int:
        return int(self._pointer.from_address(state + self._ident_offset).value or 0)
