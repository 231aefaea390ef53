"""What files and functions are called where `trace` names them: modules by the search path, methods by their class."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from execd.model.profile import Function, Profile

_LOCALS = "<locals>."
_METHOD_PARTS = 2


def search_path(profile: Profile) -> tuple[str, ...]:
    """Return sys.path of the target, where the collector has told it."""
    found = profile.header.extra.get("search_path")
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list | tuple) else ()


def module_name(path: str) -> str:
    """Return the name of a file without folder and ending: _modname of Lib/trace.py."""
    return os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122 - pure text, of another machine's rules


def full_module_name(path: str, folders: Collection[str]) -> str:
    """Return the dotted name of a file by the longest folder of the search path: _fullmodname of Lib/trace.py.

    Args:
        path: of the file.
        folders: the search path.
    """
    folder = folder_of(path, folders)
    base = path[len(folder) + 1 :] if folder else path
    return os.path.splitext(base.replace("/", "."))[0].lstrip(".")  # noqa: PTH122 - as above


def folder_of(path: str, folders: Collection[str]) -> str:
    """Return the longest folder of the search path that a file lies below, "" for none."""
    return max((one for one in folders if path.startswith(f"{one}/")), key=len, default="")


def function_name(function: Function) -> str:
    """Return a function's name with that of its class before it, without the function that it is nested in."""
    parts = function.qualname.rpartition(_LOCALS)[2].split(".")
    own = len(parts) >= _METHOD_PARTS and parts[-1] == function.name
    return ".".join(parts[-_METHOD_PARTS:]) if own else function.name


def named(function: Function) -> tuple[str, str, str]:
    """Return file name, module name and function name as the function lists of `trace` have them."""
    return function.file, module_name(function.file), function_name(function)


def version_of(text: str) -> tuple[int, int]:
    """Return (3, 14) of "3.14.0rc1"; (0, 0) of what is no version."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


def listing_parts(path: str, folders: Sequence[str]) -> list[str]:
    """Return package and module of a file as parts of a relative path; none of them leads out of a folder."""
    return [part for part in full_module_name(path, folders).split(".") if part and "\0" not in part] or ["_"]
