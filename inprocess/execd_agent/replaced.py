"""What all code uses: where a program has put functions of its own there is no agent. launch.py is behind this file."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # That file is behind this one.
    from execd_agent.launch import original  # noqa: TC004

REPLACED = "the program has replaced functions that all code uses: "
# What the agent calls; functions of a program's in their place would be told of it, or break it.
_FUNCTIONS = (
    *("__build_class__", "all", "any", "callable", "compile", "delattr", "eval", "exec", "getattr", "globals"),
    *("hasattr", "id", "isinstance", "issubclass", "iter", "len", "locals", "max", "min", "next", "ord"),
    *("repr", "round", "setattr", "sorted", "sum", "vars"),
)
# The same in modules; what is replaced there runs the agent's thread as one of the program's own kind.
_IN_MODULES = {
    "_thread": ("allocate_lock", "get_native_id", "stack_size", "start_new_thread"),
    "marshal": ("loads",),
    "posix": ("close", "fpathconf", "fstat", "getpid", "read", "register_at_fork", "stat", "write"),
    "sys": ("_current_frames", "_getframe", "getswitchinterval", "setswitchinterval"),
    "_signal": ("pthread_sigmask", "valid_signals"),
}


def replaced_functions(posix: Any, frozen: dict[str, Any]) -> list[str]:
    """Return the names of the functions that are not the interpreter's; it calls none of them."""
    kind = "".join.__class__
    replaced = [name for name in _FUNCTIONS if frozen["__builtins__"].get(name).__class__ is not kind]
    if replaced:
        return replaced
    sys, marshal = frozen["sys"], frozen["_bootstrap_external"].marshal
    for module in (frozen["_thread"], marshal, posix, sys, sys.modules.get("_signal")):
        names = _IN_MODULES.get(module.__name__, ()) if module else ()
        replaced += [module.__name__ + "." + name for name in names if original(module, name).__class__ is not kind]
    return replaced
