"""The interpreter's own functions, where a program may have replaced them.

gevent.monkey puts its greenlet versions into `_thread` and keeps the originals; the agent's thread must be a real one.
"""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def original(module: ModuleType, name: str) -> Any:
    """Return an attribute of a module as it was before gevent replaced it."""
    monkey = sys.modules.get("gevent.monkey")
    saved = getattr(monkey, "saved", {}).get(module.__name__, {}) if monkey else {}
    return saved.get(name) or getattr(module, name)


def new_lock() -> Any:
    """Return a lock of real threads."""
    return original(_thread, "allocate_lock")()


def thread_local() -> Any:
    """Return an object whose attributes each real thread has for itself; they end with the thread."""
    return original(_thread, "_local")()


def current_thread_id() -> int:
    """Return the identifier of this real thread, as threading.get_ident() gives it."""
    return original(_thread, "get_ident")()  # type: ignore[no-any-return]


def native_thread_id() -> int:
    """Return the system's number of this real thread, in its PID namespace."""
    return original(_thread, "get_native_id")()  # type: ignore[no-any-return]
