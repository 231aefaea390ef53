"""The interpreter's thread states, and the two slots that each has for functions of Python's (3.9 to 3.11).

sys.setprofile and sys.settrace reach the calling thread alone. `_PyEval_SetProfile(tstate, function, object)` and
`_PyEval_SetTrace` reach any (exported by 3.9 to 3.11); they are given the interpreter's own trampoline, taken from our
thread state after a sys.setprofile or sys.settrace there, so that an event costs what it costs with these.
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
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

# sizeof(PyThreadState) is 280 to 360 in 3.9 to 3.11; the fields that we look for lie within the first 192 bytes.
_WORDS_LOOKED_AT = 24
_WORD = 8
# What trampolines say for the numbers of events (pystate.h: PyTrace_CALL is 0).
EVENTS = ("call", "exception", "line", "return", "c_call", "c_exception", "c_return", "opcode")


class NoThreadStates(Refused):
    """Other threads cannot be reached here."""


def is_audited() -> bool:
    """Tell whether somebody hears of audit events: sys.audit looks at what it is given only then (sysmodule.c)."""
    try:
        sys.audit(None)  # type: ignore[arg-type]
    except TypeError:
        return True
    return False


class Slot:
    """One of the two functions that a thread has: what tells of calls, or what tells of lines as well.

    Args:
        name: "profile" or "trace", for texts.
    """

    def __init__(self, name: str) -> None:
        is_profile = name == "profile"
        self.name = name
        self.tool = "profiler" if is_profile else "tracer"
        self.get: Any = sys.getprofile if is_profile else sys.gettrace
        self.set: Any = sys.setprofile if is_profile else sys.settrace
        # The name in the threading module of what each thread that it starts is given: by that which
        # threading.setprofile sets, for that function may be another one by now.
        self.hook = "_" + name + "_hook"
        self.setter = "_PyEval_SetProfile" if is_profile else "_PyEval_SetTrace"


class Seen:
    """A thread state at one instant: where it is, whose, and what is in its slot: a C function, an object's address.

    Attributes:
        profile: of the slot of lines, the address of the object in the other one.
    """

    __slots__ = ("address", "function", "ident", "object", "profile")

    def __init__(self, address: int, ident: int, function: int, slot_object: int, profile: int) -> None:
        self.address = address
        self.ident = ident
        self.function = function
        self.object = slot_object
        self.profile = profile


class ThreadStates:
    """The interpreter's thread states, through `_ctypes` alone: the ctypes package would bring further modules along.

    A thread that ends frees its state, for which it needs the GIL. So whatever follows the list must not give the GIL
    away from its first step to its last: it is one expression of C functions, in which no bytecode runs, and no garbage
    is collected meanwhile. Nor does it tell audit hooks as `from_address` would: one may come at any time. What was
    learnt of a state before is good for one that is in the list again.

    Args:
        slot: which of a thread's two functions this is about.

    Raises NoThreadStates where the interpreter has no `_ctypes`, and where the program has audit hooks: the setters
    tell them first, so that bytecode runs, and a thread may free its state before it is written to.
    """

    def __init__(self, slot: Slot) -> None:
        if is_audited():
            raise NoThreadStates("the program has audit hooks, which run in between: other threads cannot be reached")
        try:
            import _ctypes  # noqa: PLC0415 - not every interpreter has it
        except ImportError as error:
            raise NoThreadStates("this interpreter has no _ctypes: other threads cannot be reached") from error
        self._ctypes = _ctypes
        dlopen: Any = _ctypes.dlopen
        self._library = dlopen(None, 0)
        self._pointer: Any = type("pointer", (_ctypes._SimpleCData,), {"_type_": "P"})
        self._object: Any = type("object", (_ctypes._SimpleCData,), {"_type_": "O"})
        self._words: Any = type("words", (_ctypes.Array,), {"_type_": self._pointer, "_length_": _WORDS_LOOKED_AT})
        self._main = self._function("PyInterpreterState_Main")()
        self._head = self._function("PyInterpreterState_ThreadHead", self._pointer)
        self._next = self._function("PyThreadState_Next", self._pointer)
        self._set = self._function(slot.setter, self._pointer, self._pointer, self._object)
        self._clear = self._function(slot.setter, self._pointer, self._pointer, self._pointer)
        text: Any = type("text", (_ctypes._SimpleCData,), {"_type_": "z"})
        self._copy = self._function("memcpy", self._pointer, text, self._pointer)
        self._bytes = self._function("PyBytes_FromStringAndSize", self._pointer, self._pointer, returns=self._object)
        # Given the address of an object it returns the object, of which somebody has a reference.
        self._object_at = self._function("PyObject_SelfIter", self._pointer, returns=self._object)
        self._keep = self._function("Py_IncRef", self._object)
        self._own = self._function("PyThreadState_Get")()
        self._is_trace = slot.name == "trace"
        self._object_word, self.trampoline = self._find(slot)
        # Of the slot's setter, and of its C function in a thread state: for who sets it without us.
        self.reach: tuple[int, int] = (_ctypes.dlsym(self._library, slot.setter), (self._object_word - 2) * _WORD)
        self._own_state = self._function("PyThreadState_Get")
        self._ident_word = self._own_words().index(originals.current_thread_id())

    def look(self) -> list[Seen]:
        """Return every thread state of the main interpreter."""
        addresses, again = itertools.tee(self._walk())
        with NoCollection():
            copies = list(zip(addresses, map(self._bytes, again, itertools.repeat(_WORDS_LOOKED_AT * _WORD))))
        found = []
        for address, copy in copies:
            words = memoryview(copy).cast("Q")
            function, slot_object = words[self._object_word - 2], words[self._object_word]
            profile = words[self._object_word - 1] if self._is_trace else 0
            found.append(Seen(address, words[self._ident_word], function, slot_object, profile))
        # The newest come first; one that has not run yet has the number of the thread that starts it.
        return list({one.ident: one for one in found}.values())

    def objects(self, seen: dict[int, Seen]) -> dict[int, Any]:
        """Return the objects in the slots of these states; only of those that have what they had when seen."""
        addresses = {place: one.object for place, one in seen.items() if one.object}
        chosen, again = itertools.tee(self._unchanged({place: seen[place] for place in addresses}))
        with NoCollection():
            return dict(zip(chosen, map(self._object_at, map(addresses.__getitem__, again))))

    def _unchanged(self, seen: dict[int, Seen]) -> Iterator[int]:
        """Return the addresses of states that are there still and have what they had when seen. All in C."""
        expected = {place: tuple(map(_packed, (one.ident, one.function, one.object))) for place, one in seen.items()}
        states, *again = itertools.tee(filter(expected.__contains__, self._walk()), 5)

        def words(index: int) -> Any:
            return map(self._bytes, map((index * _WORD).__add__, again.pop()), itertools.repeat(_WORD))

        now = zip(words(self._ident_word), words(self._object_word - 2), words(self._object_word))
        return itertools.compress(states, map(_operator.eq, now, map(expected.__getitem__, again.pop())))

    def set_functions(self, settings: dict[int, tuple[int, Any] | None], seen: dict[int, Seen]) -> bool:
        """Set what states have that are as they were when seen: C function and object; None takes away.

        Returns whether all was done: where an audit hook has come meanwhile, threads without a function get none.
        """
        if is_audited():
            self._write(settings, seen)
            return all(seen[address].function for address in settings)
        taken = {address for address, setting in settings.items() if setting is None}
        functions = {address: setting[0] for address, setting in settings.items() if setting is not None}
        objects = {address: setting[1] for address, setting in settings.items() if setting is not None}
        chosen, again, once_more = itertools.tee(self._unchanged({place: seen[place] for place in functions}), 3)
        with NoCollection():
            list(map(self._set, chosen, map(functions.__getitem__, again), map(objects.__getitem__, once_more)))
        nothing = itertools.repeat(None)
        gone = self._unchanged({place: seen[place] for place in taken})
        with NoCollection():
            list(map(self._clear, gone, nothing, nothing))
        return True

    def _write(self, settings: dict[int, tuple[int, Any] | None], seen: dict[int, Seen]) -> None:
        """Write into slots that are in use what the interpreter's setter would, which tells the audit hooks first.

        Whether a thread is traced at all stays as it is: looking at its empty slots it finds nothing to call (ceval.c,
        3.9 to 3.11), until its tracing is set anew. A reference to each of the functions that were there stays too.
        """
        have = {address: seen[address] for address, setting in settings.items() if seen[address].function}
        words = dict.fromkeys(have, (_packed(0), _packed(0)))
        for address in have:
            setting = settings[address]
            if setting is not None:
                self._keep(setting[1])
                words[address] = (_packed(setting[0]), _packed(id(setting[1])))
        chosen, *again = itertools.tee(self._unchanged(have), 4)

        def written(word: int, which: int) -> Any:
            places = map((word * _WORD).__add__, again.pop())
            values = map(_operator.itemgetter(which), map(words.__getitem__, again.pop()))
            return map(self._copy, places, values, itertools.repeat(_WORD))

        again.append(chosen)
        both = zip(written(self._object_word - 2, 0), written(self._object_word, 1))
        with NoCollection():
            list(both)

    def set_own(self, setting: tuple[int, Any]) -> None:
        """Set what the calling thread has."""
        self._set(self._own_state(), *setting)

    def trampoline_of(self, name: str) -> int:
        """Return the trampoline that belongs to a slot's name."""
        return self._find(Slot(name))[1]

    def caller(self, function: int, slot_object: Any) -> Any:
        """Return a Python function that calls a C function of a tool's with its object, as the interpreter does."""
        call = self._prototype("tool", self._object, self._object, self._pointer, self._object)(function)
        numbers = {name: number for number, name in enumerate(EVENTS)}

        def call_tool(frame: FrameType, event: str, argument: Any) -> None:
            call(slot_object, frame, numbers[event], argument)

        return call_tool

    def _walk(self) -> Iterator[int]:
        """Return an iterator over the addresses; nothing of it is done before it is consumed, and then all in C."""
        heads = map(self._head, (self._main,))
        # Each step calls PyThreadState_Next with the address before, and with a zero that C ignores.
        return itertools.takewhile(bool, itertools.accumulate(itertools.chain(heads, itertools.repeat(0)), self._next))

    def _function(self, name: str, *arguments: Any, returns: Any = None) -> Any:
        return self._prototype(name, *arguments, returns=returns)(self._ctypes.dlsym(self._library, name))

    def _prototype(self, name: str, *arguments: Any, returns: Any = None) -> Any:
        """Return the type of C functions that keep the GIL and may raise."""
        flags = self._ctypes.FUNCFLAG_CDECL | self._ctypes.FUNCFLAG_PYTHONAPI
        members = {"_flags_": flags, "_restype_": returns or self._pointer, "_argtypes_": arguments}
        return type(name, (self._ctypes.CFuncPtr,), members)

    def _own_words(self) -> list[int]:
        return list(self._words.from_address(self._own))

    def _find(self, slot: Slot) -> tuple[int, int]:
        """Find a slot's object in our own thread state, by word, and its C function two words before it.

        cpython/pystate.h: the functions of profile and trace, then their objects.
        """

        def probe(_frame: FrameType, _event: str, _argument: Any) -> None:
            """Stand for a function; it is told of the next lines here."""

        previous = slot.get()
        slot.set(probe)
        words = self._own_words()
        slot.set(previous)
        index = words.index(id(probe))
        return index, words[index - 2]


def _packed(word: int) -> bytes:
    return word.to_bytes(_WORD, sys.byteorder)


class NoCollection:
    """A time without garbage collections: one could run a finalizer, and that could give the GIL away."""

    def __enter__(self) -> None:
        self._collects = gc.isenabled()
        gc.disable()

    def __exit__(self, *_error: object) -> None:
        if self._collects:
            gc.enable()
