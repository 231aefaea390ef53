"""The native core: how it comes into the process, and what keeps it there.

It is sent by the daemon, and loaded from memory: so it comes into another root, for another user, and where nothing on
disk may be executed. It is never unloaded, for threads may be within it; an agent that comes later uses the copy that
is there, if it is the same.
"""

from __future__ import annotations

import _imp
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAME = "execd_core.so"
# As many as its path can tell apart by the way that it is written.
_MOST_COPIES = 16
_CLOEXEC = 1


class Unfit(Exception):
    """The native form of a collector cannot be here now; the text says why."""


def core_of(stub: Any, content: bytes) -> tuple[Any, str]:
    """Return the core's module, and why there is none.

    Args:
        stub: the process's, see launch.py: it keeps the copies that were loaded.
        content: of the shared object.
    """
    copies: list[tuple[bytes, Any]] = getattr(stub, "cores", [])
    stub.cores = copies
    for known, module in copies:
        if known == content and module is not None:
            return module, ""
    if len(copies) == _MOST_COPIES:
        return None, "%d native cores have been sent into the process already" % _MOST_COPIES
    # Before it is loaded: what fails half-way may have its name for good.
    copies.append((content, None))
    try:
        module = _loaded(content, len(copies))
    except Exception as error:  # noqa: BLE001 - the target's audit hooks and its loader say what they like
        return None, "the native core cannot be loaded: %s" % (str(error) or type(error).__name__)[:200]
    copies[-1] = content, module
    return module, ""


def _loaded(content: bytes, number: int) -> Any:
    descriptor = posix.memfd_create(_NAME, _CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[posix.write(descriptor, view) :]
        # The loader takes a library of a name that it has loaded before for that one; each of ours has another name.
        path = "/proc/self/" + "./" * number + "fd/%d" % descriptor
        kind: Any = type(sys.implementation)
        module = _imp.create_dynamic(kind(name="execd_agent._core", origin=path))
        _imp.exec_dynamic(module)
    finally:
        posix.close(descriptor)
    return module
