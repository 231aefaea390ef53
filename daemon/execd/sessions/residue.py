"""Residue: what stays in a target after a detach, in the words of docs/attaching.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORK_HOOK = "a fork hook that does nothing (os.register_at_fork cannot be undone)"
_INERT = "functions that were in a thread's profile or trace slot"
_WHY = "a thread may have been about to call one"
_CORE = "the native core, inactive: what has been loaded is never unloaded"
_MOST_MODULES = 50
# An agent keeps 16; one that lies is not quoted.
_MOST_KEPT = 1000


def residue(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what stays, one sentence each.

    Args:
        facts: of the agent's answer to a detach.
    """
    kept, modules = facts.get("kept_functions"), facts.get("loaded_modules")
    found = [_FORK_HOOK]
    if type(kept) is int and 0 < kept <= _MOST_KEPT:
        found.append(f"{_INERT}: {kept} ({_WHY})")
    if facts.get("cores") not in (None, 0):
        found.append(_CORE)
    names = [name for name in modules if isinstance(name, str)] if isinstance(modules, list) else []
    if names:
        found.append("modules of the standard library: " + ", ".join(names[:_MOST_MODULES]))
    return tuple(found)
