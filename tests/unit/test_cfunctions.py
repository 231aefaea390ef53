"""C functions as cProfile sees them: the names are those that cProfile itself prints, on this interpreter."""

from __future__ import annotations

import _lsprof
import cProfile
import functools
import math
import operator
from typing import Any

import pytest
from execd_agent.collectors import cfunctions


class Meta(type):
    """A class of classes whose repr must not be asked for."""

    def __repr__(cls) -> str:
        raise AssertionError("code of the program ran")


class Hostile(list[int], metaclass=Meta):
    """A list whose class answers nothing."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("code of the program ran")


class Shouting(dict[str, int]):
    """A dict with a method of its own, and one that it inherits."""

    def shout(self) -> None:
        """Does nothing."""


FUNCTIONS = {
    "a function of builtins": len,
    "a function of a module": math.sqrt,
    "a function of a C module": operator.add,
    "a method of an object": [].append,
    "a method of a constant": ",".join,
    "a class method": dict.fromkeys,
    "an inherited method": Shouting().update,
    "an inherited class method": Shouting.fromkeys,
    "a static method": str.maketrans,
    "a method of an int": (5).bit_length,
    "a method of a generator": (value for value in ()).send,
    "__new__": object.__new__,
    "__new__ of a class": int.__new__,
    "a reduce": functools.reduce,
    "a method of a class": type.__subclasses__.__get__(int),
}


def of_cprofile(call: Any) -> set[str]:
    """What cProfile calls the C functions that it sees in a call."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        call()
    except (TypeError, ValueError, StopIteration):
        pass
    finally:
        profiler.disable()
    return {entry.code for entry in profiler.getstats() if isinstance(entry.code, str)}


@pytest.mark.parametrize("what", FUNCTIONS)
def test_the_name_is_that_of_cprofile(what: str) -> None:
    function = FUNCTIONS[what]
    assert cfunctions.is_builtin(type(function))
    # Called without arguments most raise, and are seen all the same.
    assert cfunctions.name_of(function) in of_cprofile(lambda: function())


NO_BUILTINS = (int, lambda: None, functools.partial(len), print.__call__, [].__len__, Shouting().shout)


@pytest.mark.parametrize("what", NO_BUILTINS)
def test_what_cprofile_does_not_count_is_no_builtin(what: Any) -> None:
    assert not cfunctions.is_builtin(type(what))


def test_a_method_is_one_function_whatever_it_is_bound_to() -> None:
    assert cfunctions.key_of([].append) == cfunctions.key_of([1].append)
    assert cfunctions.key_of([].append) != cfunctions.key_of([].pop)
    assert cfunctions.key_of([].append) != cfunctions.key_of(bytearray().append)


def test_functions_of_modules_are_told_apart() -> None:
    assert cfunctions.key_of(math.sqrt) != cfunctions.key_of(math.sin)
    assert cfunctions.key_of(len) == cfunctions.key_of(len)


def test_no_code_of_the_program_runs() -> None:
    # Taken from the type, because an attribute of the object cannot be asked for.
    bound = list.__dict__["append"].__get__(list.__new__(Hostile), Hostile)
    assert cfunctions.key_of(bound) == (Hostile, "append")
    assert "append" in cfunctions.name_of(bound)


def test_a_profiler_that_is_switched_off_is_seen_as_itself() -> None:
    profiler = _lsprof.Profiler()
    assert "disable" in cfunctions.name_of(profiler.disable)
