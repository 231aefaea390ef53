"""Which code's calls are recorded: what --include and --exclude say, by module or by path.

A pattern is a path where it has a slash or ends in .py, and fits the end of a file's path, or all of it where it begins
with a slash. Any other one is a module, and stands for all below it too. What fits one of those to include, where there
are any, and none of those to exclude is recorded. Code that is not falls away: its time is its caller's, and so is that
of the C functions that it calls.

It is decided once a code object, which is kept: so its number stays its own, and what was switched off in it can be
switched on again.
"""

from __future__ import annotations

import sys

from execd_agent.collectors.calltree import code_bytes
from execd_agent.collectors.glob import matches
from execd_agent.collectors.selection import OWN_CODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# What is done with calls of a code object: recorded; left out, for good; left out, and asked again the next time.
IN, OUT, OUT_NOW = 0, 1, 2
# Of what a recording may take.
SHARE = 8
_ENTRY_BYTES = 200
_MOST_PLACES = 10_000
_SPEC: Any = type(getattr(sys, "__spec__", None))


class Filters:
    """What patterns say of code.

    Args:
        include, exclude: patterns.
        max_bytes: that the decisions may take.
    """

    def __init__(self, include: list[str], exclude: list[str], max_bytes: int) -> None:
        self._include, self._exclude = list(map(_Pattern, include)), list(map(_Pattern, exclude))
        self.max_bytes = max_bytes
        without = ", without " + ", ".join(exclude) if include and exclude else ""
        only = (
            "only code of " + ", ".join(include) + without if include else "all code but that of " + ", ".join(exclude)
        )
        self.caveat = only + " is recorded; the time of the rest is its callers'"
        self.used_bytes = 0
        self._choices: dict[int, int] = {}
        self._kept: list[CodeType] = []
        # By file and module.
        self._places: dict[tuple[str, str], bool] = {}

    def choice(self, code: CodeType, frame: FrameType | None = None) -> int:
        """Return IN, OUT or OUT_NOW of a code object.

        Args:
            code: which.
            frame: one of its frames; without one it is looked for on this thread's stack.
        """
        known = self._choices.get(id(code))
        if known is not None:
            return known
        if code.co_filename.startswith(OWN_CODE):
            return IN
        wanted = self._wants(code.co_filename, _module_of(frame or _frame_of(code), code.co_filename))
        cost = code_bytes(code) + _ENTRY_BYTES
        if self.used_bytes + cost > self.max_bytes:
            return IN if wanted else OUT_NOW
        self.used_bytes += cost
        # Kept before it is known by its number.
        self._kept.append(code)
        return self._choices.setdefault(id(code), IN if wanted else OUT)

    def codes(self) -> list[CodeType]:
        """Return those that are left out for good: events of theirs are switched off."""
        return [code for code in self._kept[:] if self._choices.get(id(code)) == OUT]

    def free(self) -> None:
        """Let go of them."""
        self._choices.clear()
        self._kept.clear()

    def _wants(self, file: str, module: str) -> bool:
        known = self._places.get((file, module))
        if known is None:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            known = not self._include or any(one.fits(file, module) for one in self._include)
            known = known and not any(one.fits(file, module) for one in self._exclude)
            self._places[file, module] = known
        return known


class _Pattern:
    """One pattern of a module or a path."""

    def __init__(self, text: str) -> None:
        self._is_path = "/" in text or text.endswith(".py")
        if self._is_path:
            text += "*" if text.endswith("/") else ""
            self._texts = (text,) if text.startswith("/") else (text, "*/" + text)
        else:
            text = text.removesuffix(".*")
            self._texts = (text, text + ".*")

    def fits(self, file: str, module: str) -> bool:
        return any(matches(file if self._is_path else module, one) for one in self._texts)


def _frame_of(code: CodeType) -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def _module_of(frame: FrameType | None, file: str) -> str:
    """Return the name of the module that a frame runs in; that of a program's main module where it has one."""
    names = {} if frame is None else frame.f_globals
    # A namespace may be of a class of the program's.
    name = dict.get(names, "__name__")
    if name == "__main__":
        spec = dict.get(names, "__spec__")
        named = spec.__dict__.get("name") if type(spec) is _SPEC and spec is not None else None
        name = named if type(named) is str else name
    if type(name) is str:
        return name
    return file.rpartition("/")[2].removesuffix(".py")
