"""What a fork of the target does to the agent: the child has our hooks and descriptors, but not our thread.

os.register_at_fork cannot be undone, so one stub a process is registered once; it finds what to do in a class
attribute, which is None while nothing is attached. A later agent finds the class among the subclasses of object.
"""

from __future__ import annotations

import _warnings
import posix
import sys

from execd_agent import compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STUB_NAME = "ExecdForkStub"


def install_stub() -> Any:
    """Return the process's stub, a class with the attribute `disarm`, registering it the first time."""
    for candidate in type.__subclasses__(object):
        if candidate.__name__ == _STUB_NAME and candidate.__module__ == __name__:
            return candidate
    stub = type(_STUB_NAME, (), {"__module__": __name__, "disarm": None})
    posix.register_at_fork(after_in_child=lambda: stub.disarm and stub.disarm())  # type: ignore[attr-defined]
    return stub


class ForkWarningFilter:
    """Keeps a formerly single-threaded target's os.fork from warning about our thread (3.12+).

    The entry matches that one message of this one process and stands first in warnings.filters; under -W error the
    warning would be raised in the parent after the child exists.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[Any, ...]] = []

    def install(self) -> None:
        """Put the entries in place."""
        if not compat.FORK_WARNS_OF_THREADS:
            return
        template = "This process (pid=%d) is multi-threaded, use of %s() may lead to deadlocks in the child."
        messages = [template % (posix.getpid(), name) for name in ("fork", "forkpty")]
        # The C code of warnings compares an exact str for equality; a pattern would need the re module.
        self._entries = [("ignore", message, DeprecationWarning, None, 0) for message in messages]
        for filters in _filter_lists():
            filters[0:0] = self._entries
        _forget_decisions()

    def remove(self) -> None:
        """Take the entries out, wherever the target has moved them meanwhile."""
        if not self._entries:
            return
        for filters in _filter_lists():
            filters[:] = [entry for entry in filters if not any(entry is ours for ours in self._entries)]
        self._entries = []
        _forget_decisions()


def _filter_lists() -> list[Any]:
    """Return the lists that decide: one, but two inside of a warnings.catch_warnings of the target."""
    lists = [_warnings.filters]
    warnings = sys.modules.get("warnings")
    if warnings is not None and warnings.filters is not _warnings.filters:
        lists.append(warnings.filters)
    return lists


def _forget_decisions() -> None:
    """Tell the warnings machinery that its filters changed; its name and its lock differ from 3.14 on."""
    if hasattr(_warnings, "_filters_mutated"):
        _warnings._filters_mutated()
        return
    machinery: Any = _warnings
    machinery._acquire_lock()
    try:
        machinery._filters_mutated_lock_held()
    finally:
        machinery._release_lock()
