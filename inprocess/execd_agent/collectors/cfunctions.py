"""C functions as cProfile sees them: which callables count, what makes two of them one, and their printed names.

The rules are those of normalizeUserObj and get_cfunc_from_callable in CPython's Modules/_lsprof.c (3.9 to 3.15).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Not of len: a program may have a function of its own there.
BUILTIN: Any = type("".join)
METHOD_DESCRIPTOR = type(list.append)
FUNCTION = type(lambda: None)
_MODULE = type(sys)
# Of a method of a Python class, bound to an object. A class made for it would be a cycle.
_CLASSMETHOD: Any = classmethod
METHOD = type(_CLASSMETHOD(lambda: None).__get__(None, object))
# The repr of these runs no code of the program's.
_SAFE_REPR = (
    METHOD_DESCRIPTOR,
    BUILTIN,
    FUNCTION,
    type(dict.__dict__["fromkeys"]),
    type(list.__add__),
    type(type.__dict__["__module__"]),
)


def is_builtin(callable_type: type) -> bool:
    """Tell whether objects of a type are C functions with their self bound."""
    return callable_type is BUILTIN or issubclass(callable_type, BUILTIN)


def key_of(function: Any) -> object:
    """Return what identifies a builtin function among the children of a node.

    A method bound to an object is a new object at every use, so its class and name stand for it.
    """
    owner = function.__self__
    if owner is None or type(owner) is _MODULE:
        return id(function)
    return type(owner), function.__name__


def printed(function: Any) -> str:
    """Return the name that cProfile prints of a C function, or of a method descriptor."""
    return repr(function) if type(function) is METHOD_DESCRIPTOR else name_of(function)


def name_of(function: Any) -> str:
    """Return the name of a builtin function as cProfile stores it."""
    owner = function.__self__
    name: str = function.__name__
    module: object = function.__module__
    if owner is None and module is None:
        # A static method of a C type, which it has as its self but does not show.
        return "<built-in method " + name + ">"
    if owner is None:
        prefix = module + "." if isinstance(module, str) and module != "builtins" else ""
        return "<" + prefix + name + ">"
    for base in type(owner).__mro__:
        attribute = base.__dict__.get(name)
        if attribute is not None:
            return repr(attribute) if type(attribute) in _SAFE_REPR else "<built-in method " + name + ">"
    if isinstance(module, str):
        return "<built-in method " + module + "." + name + ">"
    return "<built-in method " + name + ">"
