"""The agent's part in a program that `execctl run` started: its main thread waits at the gate of startup.py."""

from __future__ import annotations

from execd_agent.frames import innermost_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# How often is looked whether the program has begun past the gate: one of its own .pth files may have taken that out.
_LOOK_S = 0.05
_OWN_CODE = "<execd_agent"
# From a handler: the gate, and the frame that it stands at.
_DEPTH = 2


class Entry:
    """The beginning of one program, and what it tells of its end. What it waits for is let go of by bootstrap.py.

    Args:
        start: what startup.py waits for: locks that it holds, and what it calls.
        main_thread: the identifier of the main thread.
        tell: says that the program is about to end; given until when it may take, on time.monotonic().
    """

    def __init__(self, start: dict[str, Any], main_thread: int, tell: Callable[[float], None]) -> None:
        self._start = start
        self._main_thread = main_thread
        start["tell"] = tell
        start["said"].release()

    def answer(self, operation: str, collectors: Iterable[Any]) -> dict[str, Any]:
        """Do what the daemon asks for at the program's beginning."""
        if operation == "arrive":
            return self._arrive()
        return self._open(collectors)

    def close(self) -> None:
        """Let the program's end tell nobody: the channel is closed."""
        self._start["tell"] = None

    def _arrive(self) -> dict[str, Any]:
        """Wait until the program begins, `arrived`, or ends before. `late` where it was found past the gate."""
        start = self._start
        _release(start["early"])
        while not start["arrived"].acquire(True, _LOOK_S):
            if start["ended"]:
                return {"arrived": False, "late": False}
            if self._is_past_the_gate():
                return {"arrived": True, "late": True}
        return {"arrived": True, "late": False}

    def _open(self, collectors: Iterable[Any]) -> dict[str, Any]:
        """Let the program go on; what is armed hears of the call that it is at. `missed`: where it has not waited."""
        for collector in collectors:
            # Those that hear of the interpreter's events have it.
            handlers = getattr(collector, "_handlers", None)
            if handlers is not None:
                self._start["entering"] += filter(None, (handlers(_DEPTH, None).get("enter"),))
        missed = list(self._start["missed"])
        for name in ("early", "opened"):
            _release(self._start[name])
        return {"missed": missed}

    def _is_past_the_gate(self) -> bool:
        frame = innermost_frame(self._main_thread)
        found = False
        while frame is not None:
            if frame.f_code.co_filename.startswith(_OWN_CODE):
                return False
            found = found or (frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__")
            frame = frame.f_back
        return found


def _release(lock: Any) -> None:
    if lock.locked():
        lock.release()
