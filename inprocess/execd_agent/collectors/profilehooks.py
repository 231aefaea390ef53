"""The calls handlers as a profile function on every thread state (3.9 to 3.11).

sys.setprofile reaches the calling thread alone. `_PyEval_SetProfile(tstate, function, object)` reaches any (exported by
3.9 to 3.13); it is given the interpreter's own trampoline, taken from our thread state after a sys.setprofile there, so
that an event costs what it costs with sys.setprofile. New threads of the threading module get the function by
threading.setprofile; `poll` finds the others.
"""

from __future__ import annotations

import _operator
import gc
import itertools
import sys

from execd_agent import originals
from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.events import Handlers

# sizeof(PyThreadState) is 280 to 360 in 3.9 to 3.11; the fields that we look for lie within the first 192 bytes.
_WORDS_LOOKED_AT = 24


class NoThreadStates(Exception):
    """Other threads cannot be reached here."""


def make_profile_function(handlers: Handlers, *, builtins: bool) -> tuple[Any, Any]:
    """Return a profile function for sys.setprofile that feeds the handlers, and what makes it do nothing for ever.

    A program may have kept it, and set it again long after we are gone.
    """
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

    def nothing(_frame: FrameType, _event: str, _argument: Any) -> None:
        # A function can take another's code where that names the same variables.
        return None if True else (enter, leave, enter_c, leave_c, builtins)

    def retire() -> None:
        profile.__code__ = nothing.__code__

    return profile, retire


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
        resume: told of a thread, and where it is, that was not recorded for a while.
        builtins: whether to tell them of C functions.

    Raises NoThreadStates where there is no way to other threads.
    """

    def __init__(
        self,
        make_handlers: Callable[[int], Handlers],
        resume: Callable[[int, FrameType | None], None],
        *,
        builtins: bool,
    ) -> None:
        self.caveats: list[str] = []
        self._profile, self._retire = make_profile_function(make_handlers(2), builtins=builtins)
        below_another = make_profile_function(make_handlers(3), builtins=builtins)
        self._profile_below_another, self._retire_below_another = below_another
        self._states = ThreadStates(self._profile)
        self._replaced: dict[int, Any] = {}
        self._armed: dict[int, Any] = {}
        self._previous_hook: Any = None
        self._hook: Any = self._profile
        self._resume = resume
        self._own_ident = originals.current_thread_id()

    def install(self) -> list[str]:
        """Set the function in every thread but this one. Raises Refused."""
        self._refuse_foreign_profilers()
        threading: Any = sys.modules.get("threading")
        # By the name that threading.setprofile sets: that function may be another one by now.
        if hasattr(threading, "_profile_hook"):
            self._previous_hook = threading._profile_hook
            if self._previous_hook is not None:
                self._hook = self._above(self._previous_hook)
            threading._profile_hook = self._hook
        self.poll()
        return self.caveats

    def poll(self) -> None:
        """Set the function in threads that have none yet, or none any more."""
        seen = [one for one in self._states.look() if one.ident != self._own_ident]
        # The number of a thread that ended is given to a new one, whose profile function nobody has looked at.
        for ended in self._armed.keys() - {one.ident for one in seen}:
            del self._armed[ended]
            self._replaced.pop(ended, None)
        ours = {id(self._profile), id(self._hook), *map(id, self._armed.values())}
        objects = self._states.objects({one.address for one in seen if one.object not in ours})
        functions = {}
        for one in seen:
            if one.object not in ours:
                function = self._function_for(one, objects.get(one.address))
                if function is not None:
                    functions[one.address] = function
        self._states.set_profiles(functions)

    def _function_for(self, one: Seen, installed: Any) -> Any:
        """Return what to set in a thread that has none of ours, None for nothing."""
        if one.ident in self._armed:
            if one.function:
                return None  # the target has set its own since: that stays
            # An exception that is raised within a profile function takes it out (call_trampoline in sysmodule.c).
            self._note("recording was off for up to a second at a time: exceptions or the target took it out")
            self._resume(one.ident, sys._current_frames().get(one.ident))
            return self._armed[one.ident]
        if one.function not in (0, self._states.trampoline):
            self._note("a C profiler runs in thread %d, which is not recorded" % one.ident)
            return None
        if one.function and installed is None:
            return None  # it changes just now; the next poll looks again
        if installed is not None:
            self._replaced[one.ident] = installed
        self._armed[one.ident] = self._profile if installed is None else self._above(installed)
        return self._armed[one.ident]

    def remove(self) -> None:
        """Take the function out where it still is, and put back what was there."""
        threading: Any = sys.modules.get("threading")
        if getattr(threading, "_profile_hook", None) is self._hook:
            threading._profile_hook = self._previous_hook
        self._states.set_profiles(self._functions_before())
        self._retire()
        self._retire_below_another()

    def _functions_before(self) -> dict[int, Any]:
        """Return what each thread that has one of ours had before, None for nothing."""
        before: dict[int, Any] = {}
        # A thread enters itself there and sets threading's profile function then; its number may have been another's.
        started = getattr(sys.modules.get("threading"), "_active", ())
        for one in self._states.look():
            if one.object == id(self._armed.get(one.ident)):
                before[one.address] = self._replaced.get(one.ident)
            elif one.object == id(self._profile):
                before[one.address] = None
            elif one.object == id(self._hook):
                before[one.address] = self._previous_hook
            elif one.object and one.ident in self._armed:
                self._note("the target replaced its profile function in thread %d; recording ended there" % one.ident)
            elif one.ident in self._armed and one.ident in started:
                self._note("the profile function was taken out in thread %d; recording ended there" % one.ident)
        return before

    def _above(self, previous: Any) -> Any:
        return chained(self._profile_below_another, previous)

    def _refuse_foreign_profilers(self) -> None:
        foreign = [one for one in self._states.look() if one.function not in (0, self._states.trampoline)]
        objects = self._states.objects({one.address for one in foreign})
        for one in foreign:
            kind = type(objects.get(one.address))
            name = kind.__module__ + "." + kind.__name__
            raise Refused("a profiler written in C (%s) is active in thread %d" % (name, one.ident))

    def _note(self, caveat: str) -> None:
        if caveat not in self.caveats:
            self.caveats.append(caveat)


class Seen:
    """A thread state at one instant: where it is, whose, and its profiler: a C function and an object's address."""

    __slots__ = ("address", "function", "ident", "object")

    def __init__(self, address: int, ident: int, function: int, profile_object: int) -> None:
        self.address = address
        self.ident = ident
        self.function = function
        self.object = profile_object


class ThreadStates:
    """The interpreter's thread states, through `_ctypes` alone: the ctypes package would bring further modules along.

    A thread that ends frees its state, for which it needs the GIL. So whatever follows the list must not give the GIL
    away from its first step to its last: it is one expression of C functions, in which no bytecode runs, and no garbage
    is collected meanwhile. What was learnt of a state before is good for one that is in the list again.

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
        self._object: Any = type("object", (_ctypes._SimpleCData,), {"_type_": "O"})
        self._words: Any = type("words", (_ctypes.Array,), {"_type_": self._pointer, "_length_": _WORDS_LOOKED_AT})
        self._main = self._function("PyInterpreterState_Main")()
        self._head = self._function("PyInterpreterState_ThreadHead", self._pointer)
        self._next = self._function("PyThreadState_Next", self._pointer)
        self._set = self._function("_PyEval_SetProfile", self._pointer, self._pointer, self._object)
        self._clear = self._function("_PyEval_SetProfile", self._pointer, self._pointer, self._pointer)
        self._own = self._function("PyThreadState_Get")()
        self._object_word = self._find_profile_word(probe)
        self._ident_word = self._own_words().index(originals.current_thread_id())

    def look(self) -> list[Seen]:
        """Return every thread state of the main interpreter."""
        addresses, again = itertools.tee(self._walk())
        with NoCollection():
            copies = list(zip(addresses, map(bytes, map(self._words.from_address, again))))
        found = []
        for address, copy in copies:
            words = memoryview(copy).cast("Q")
            function, profile_object = words[self._object_word - 2], words[self._object_word]
            found.append(Seen(address, words[self._ident_word], function, profile_object))
        return found

    def objects(self, addresses: set[int]) -> dict[int, Any]:
        """Return the profile objects of these states; none at all where one of them has lost its own meanwhile."""
        chosen, again = itertools.tee(filter(addresses.__contains__, self._walk()))
        fields = map(self._object.from_address, map((self._object_word * 8).__add__, again))
        try:
            with NoCollection():
                return dict(zip(chosen, map(_operator.attrgetter("value"), fields)))
        except ValueError:
            return {}

    def set_profiles(self, functions: dict[int, Any]) -> None:
        """Set Python-level profile functions on states that are still there; None takes away what is there."""
        taken = {address for address, function in functions.items() if function is None}
        given = functions.keys() - taken
        chosen, again = itertools.tee(filter(given.__contains__, self._walk()))
        with NoCollection():
            list(map(self._set, chosen, itertools.repeat(self.trampoline), map(functions.__getitem__, again)))
        nothing = itertools.repeat(None)
        with NoCollection():
            list(map(self._clear, filter(taken.__contains__, self._walk()), nothing, nothing))

    def _walk(self) -> Iterator[int]:
        """Return an iterator over the addresses; nothing of it is done before it is consumed, and then all in C."""
        heads = map(self._head, (self._main,))
        # Each step calls PyThreadState_Next with the address before, and with a zero that C ignores.
        return itertools.takewhile(bool, itertools.accumulate(itertools.chain(heads, itertools.repeat(0)), self._next))

    def _function(self, name: str, *arguments: Any) -> Any:
        flags = self._ctypes.FUNCFLAG_CDECL | self._ctypes.FUNCFLAG_PYTHONAPI
        members = {"_flags_": flags, "_restype_": self._pointer, "_argtypes_": arguments}
        prototype = type(name, (self._ctypes.CFuncPtr,), members)
        return prototype(self._ctypes.dlsym(self._library, name))

    def _own_words(self) -> list[int]:
        return list(self._words.from_address(self._own))

    def _find_profile_word(self, probe: Any) -> int:
        """Find c_profileobj in our own thread state, and c_profilefunc, two words before it (cpython/pystate.h)."""
        previous = sys.getprofile()
        sys.setprofile(probe)
        words = self._own_words()
        sys.setprofile(previous)
        index = words.index(id(probe))
        self.trampoline = words[index - 2]
        return index


class NoCollection:
    """A time without garbage collections: one could run a finalizer, and that could give the GIL away."""

    def __enter__(self) -> None:
        self._collects = gc.isenabled()
        gc.disable()

    def __exit__(self, *_error: object) -> None:
        if self._collects:
            gc.enable()
