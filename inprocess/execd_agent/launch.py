"""What runs in the interrupted thread: start the agent's own thread, nothing else.

`execd.attach.injection` wraps this file into the injected text, which executes it with these globals:
frozen (the namespace of importlib._bootstrap, whose contents no program replaces), bootstrap (source text) and
settings (a dict for it). It must not import and must be over within microseconds: in the main thread it may be
interrupted by a signal handler of the target, whose exception `handback.py` gives back to the target.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    frozen: dict[str, Any]
    bootstrap: str
    settings: dict[str, Any]


def original(module: ModuleType, name: str) -> Any:
    """Return an attribute as it was before gevent replaced it."""
    monkey = frozen["sys"].modules.get("gevent.monkey")
    saved = getattr(monkey, "saved", {}).get(module.__name__, {}) if monkey else {}
    return saved.get(name) or getattr(module, name)


def start() -> None:
    """Start the agent's thread with every signal blocked, so that the kernel gives the target's signals to others."""
    sys, thread = frozen["sys"], frozen["_thread"]
    signal = sys.modules.get("_signal")
    run = frozen["__builtins__"]["exec"]
    arguments = (bootstrap, {"__builtins__": frozen["__builtins__"], "frozen": frozen, "settings": settings})
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()) if signal else None
    # The new thread must not wait 5 ms for its first turn; haste.py says more, and bootstrap.py puts it back.
    settings["usual_s"] = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    settings["short_s"] = sys.getswitchinterval()
    try:
        original(thread, "start_new_thread")(run, arguments)
    except BaseException:
        sys.setswitchinterval(settings["usual_s"])
        raise
    finally:
        if signal:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


start()
# Functions and the namespace that they are defined in are a cycle.
globals().clear()
