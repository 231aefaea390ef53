"""Which code lines are told of: never execd's own, and not what --ignore-module and --ignore-dir leave out.

The rules are those of `trace` in the standard library, except for two of its bugs. It remembers a verdict by the last
part of a module's name, so that the utils.py of two packages share one; here it is one a file. And it compares that
last part alone, so that ignoring a package never ignores what is in it, as its manual promises; here the whole name
counts as well.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# As the importer names it.
OWN_CODE = "<execd_agent"


class Selection:
    """What to tell of.

    Args:
        options: those of a collector: ignore_modules and ignore_dirs, lists of str.
        files_only: leave code out that runs in no file's namespace, as `trace` does where it tells of lines.
    """

    def __init__(self, options: dict[str, Any], *, files_only: bool = True) -> None:
        self._modules = tuple(map(str, options.get("ignore_modules") or ()))
        self._dirs = tuple([_normal(str(one)) + "/" for one in options.get("ignore_dirs") or ()])
        self._files_only = files_only
        self._is_ignored: dict[tuple[str, str], bool] = {}

    def wants(self, code: CodeType, frame: FrameType | None = None) -> bool:
        """Tell whether a code object is to be told of; whoever asks remembers it.

        Args:
            code: which.
            frame: one of its frames; without one it is looked for on this thread's stack.
        """
        if code.co_filename.startswith(OWN_CODE):
            return False
        file, module = _namespace_of(code, frame or _frame_of(code))
        if not file:
            if self._files_only:
                return False
            file = code.co_filename
        if not self._modules and not self._dirs:
            return True
        ignored = self._is_ignored.get((file, module))
        if ignored is None:
            ignored = self._is_ignored[file, module] = self._ignores(file, module)
        return not ignored

    def _ignores(self, file: str, module: str) -> bool:
        last = file.rpartition("/")[2]
        stem = last[: last.rfind(".")] if "." in last.lstrip(".") else last
        for one in self._modules:
            if one in (stem, module) or module.startswith(one + "."):
                return True
        return file.startswith(self._dirs)


def _frame_of(code: CodeType) -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def _namespace_of(code: CodeType, frame: FrameType | None) -> tuple[str, str]:
    """Return the file and the name of the module that a frame runs in, each "" where there is none."""
    if frame is None:
        return ("" if code.co_filename.startswith("<") else code.co_filename), ""
    # A namespace may be of a class of the program's.
    file, module = dict.get(frame.f_globals, "__file__"), dict.get(frame.f_globals, "__name__")
    return (file if type(file) is str else ""), (module if type(module) is str else "")


def _normal(folder: str) -> str:
    """Return a path as os.path.normpath does, with $prefix and $exec_prefix as `trace` fills them in."""
    folder = folder.replace("$prefix", library(sys.base_prefix)).replace("$exec_prefix", library(sys.exec_prefix))
    parts: list[str] = []
    for part in folder.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if folder.startswith("/") else "") + "/".join(parts)


def library(prefix: str) -> str:
    """Return the folder of the standard library below a prefix, as sysconfig has it, which is not imported here."""
    version = "python%d.%d" % sys.version_info[:2]
    return "/".join((prefix, sys.platlibdir, version + ("t" if "t" in getattr(sys, "abiflags", "") else "")))
