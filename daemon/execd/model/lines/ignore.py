"""Files left out of a listing: by module and by folder, as the ignore options of `trace` mean it.

A verdict is for a file. That of `trace` is for a module name without its package, so that two packages' utils.py share
the one that was met first: a known fault, which is not repeated here.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.model.lines.names import full_module_name, module_name, search_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Profile


@dataclass(frozen=True, slots=True)
class Ignore:
    """What is left out.

    Attributes:
        modules: names of modules and packages; what is below a package goes with it.
        folders: what lies below them goes.
        search: sys.path of the target.
    """

    modules: tuple[str, ...]
    folders: tuple[str, ...]
    search: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Return whether a file is left out."""
        names = (full_module_name(path, self.search).removesuffix(".__init__"), module_name(path))
        by_module = any(name == ignored or name.startswith(f"{ignored}.") for ignored in self.modules for name in names)
        return by_module or any(path.startswith(f"{folder.rstrip('/')}/") for folder in self.folders)


def ignore(profile: Profile, modules: Sequence[str], folders: Sequence[str]) -> Ignore:
    """Return what is left out of a profile.

    Args:
        profile: whose target's prefixes and search path are meant.
        modules: each a name, or several separated by commas.
        folders: each a folder, or several separated by colons; "$prefix" and "$exec_prefix" stand for the target's.
    """
    extra = profile.header.extra
    prefixes = {name: extra.get(name) for name in ("exec_prefix", "prefix")}

    def expanded(folder: str) -> str:
        for name, value in prefixes.items():
            folder = folder.replace(f"${name}", value) if isinstance(value, str) else folder
        return os.path.normpath(folder)

    return Ignore(
        modules=tuple(name.strip() for one in modules for name in one.split(",") if name.strip()),
        folders=tuple(expanded(folder) for one in folders for folder in one.split(":") if folder),
        search=search_path(profile),
    )
