"""What functions are called in tables: by their qualified names, with where they are beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from execd.model.profile import BUILTIN_FILE
from execd.reports.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile

BUILT_IN = "built-in"
# What cProfile calls C functions.
_METHOD = re.compile(r"<method '(?P<name>[^']+)' of '(?P<owner>[^']+)' objects>")
_BUILT_IN = re.compile(r"<built-in (?:method|function) (?P<name>[^<>]+)>")


class FunctionNames:
    """The names of the functions of profiles, safe to show.

    Args:
        profiles: whose functions.
        strip_dirs: whether the functions are known without the directories of their files.
    """

    def __init__(self, profiles: Iterable[Profile], *, strip_dirs: bool) -> None:
        self._qualified: dict[FunctionKey, str] = {}
        for function in (function for profile in profiles for function in profile.functions):
            file = visible(function.file)
            key = (file.rpartition("/")[2] if strip_dirs else file, function.first_line, visible(function.name))
            name = visible(function.qualname)
            # Of several that are one for pstats the name that they share.
            self._qualified[key] = name if self._qualified.get(key, name) == name else key[2]

    def name(self, function: FunctionKey) -> str:
        """Return what a function is called: "Server.handle", "time.sleep"."""
        file, _, name = function
        return c_name(name) if file == BUILTIN_FILE else self._qualified.get(function) or name

    def place(self, function: FunctionKey) -> str:
        """Return where it is: a path with a line, or that it is no Python function."""
        file, line, _ = function
        return BUILT_IN if file == BUILTIN_FILE else f"{file}:{line}"


def c_name(name: str) -> str:
    """Return the name of a C function without what cProfile puts around it."""
    if method := _METHOD.fullmatch(name):
        return f"{method['owner']}.{method['name']}"
    if built_in := _BUILT_IN.fullmatch(name):
        return built_in["name"]
    return name
