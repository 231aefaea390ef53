"""The trace function of 3.9 to 3.11: calls and lines for all who hear lines.

It stays the same function whoever comes and goes, for threads and frames have it; what it calls changes.
"""

from __future__ import annotations

from execd_agent import originals
from execd_agent.collectors.beside import Beside
from execd_agent.collectors.fanout import DISABLE, STARTS, nothing, to_all
from execd_agent.frames import innermost_frame, innermost_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

    from execd_agent.collectors.subscription import Subscription


def make_trace_function(wants: Any) -> tuple[Any, Any, Any, Any]:  # noqa: C901 - functions of the same variables
    """Return a trace function for sys.settrace, the one for frames, what redirects them, and what retires them.

    Args:
        wants: tells whether lines of a code object, of which a frame is given, are to be told.
    """
    enter = line = nothing
    # As in profilehooks.py.
    starting: Any = None

    def local(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "line":
            if line(frame.f_code, frame.f_lineno) is DISABLE and not wants(frame.f_code, frame):
                frame.f_trace = None
        elif event == "return":
            # Of a generator it is a yield: suspended, nobody would find it to take this off.
            frame.f_trace = None

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if event != "call":
            return None
        if starting is not None and frame.f_code.co_name == STARTS:
            starting()
        enter(frame.f_code)
        return local if wants(frame.f_code, frame) else None

    def redirect(handlers: dict[str, Any]) -> None:
        nonlocal enter, line, starting
        enter, line = handlers.get("enter", nothing), handlers.get("line", nothing)
        starting = handlers.get("starting")

    def retired_local(_frame: FrameType, _event: str, _argument: Any) -> None:
        # A function can take another's code where that names the same variables.
        return None if True else (line, wants)

    def retired(_frame: FrameType, _event: str, _argument: Any) -> None:
        return None if True else (enter, local, wants, starting)

    def retire() -> None:
        nonlocal wants
        trace.__code__, local.__code__ = retired.__code__, retired_local.__code__
        redirect({})
        wants = nothing

    return trace, local, redirect, retire


class TraceFunctions:
    """The trace function as threads and frames have it, or beside one of the target's own."""

    trampoline = 0
    # The slot whose trampoline calls what stands beside another: it hears every event.
    above_slot = "profile"

    def __init__(self) -> None:
        self.starting: Any = None
        self._subscriptions: list[Subscription] = []
        self.direct, self._local, self._redirect, self._retire = make_trace_function(self._wants)
        self._beside = Beside()
        self.missed = self._beside.missed

    def above(self, previous: Any, *, is_tool: bool = False) -> Any:
        """Return a function that calls the target's own one too, or a tool's written in C."""
        return self._beside.beside(previous, is_tool=is_tool)

    def after(self, ident: int) -> Any:
        """Return what a thread is given that has none of the target's own now, and may have had."""
        own = (None, self._local)
        frame: FrameType | None = innermost_frame(ident)
        while frame is not None and frame.f_trace in own:
            frame = frame.f_back
        # What the target left there must not be called any more.
        return self.direct if frame is None else self._beside.alone

    def hook(self, previous: Any, take_over: Any) -> Any:
        """Return what threads to come are given where the target has set a function for them, see `Beside.first`."""
        return self._beside.first(previous, take_over)

    def close(self) -> None:
        """Take over no thread any more."""
        self._beside.close()

    def redirect(self, subscriptions: list[Subscription]) -> None:
        """Call the handlers of these from now on, also in frames that run."""
        self._subscriptions = list(subscriptions)
        starting = {"starting": self.starting} if subscriptions else {}
        self._redirect({**to_all(subscriptions, ("enter", "line"), 2, DISABLE), **starting})
        self._beside.redirect(subscriptions)

    def reach(self, idents: set[int]) -> None:
        """Have the lines of frames told that run already."""
        for ident in idents - {originals.current_thread_id()}:
            frame = innermost_frame(ident)
            while frame is not None:
                if frame.f_trace is None and self._wants(frame.f_code, frame):
                    frame.f_trace = self._local
                frame = frame.f_back

    def retire(self) -> list[Any]:
        """Leave the frames, and do nothing for ever. Returns the functions."""
        for _, innermost in innermost_frames():
            frame: FrameType | None = innermost
            while frame is not None:
                if frame.f_trace is self._local:
                    frame.f_trace = None
                frame = frame.f_back
        self._subscriptions = []
        self._retire()
        self._beside.redirect([])
        return [self.direct, self._local, self._beside.alone]

    def _wants(self, code: CodeType, frame: FrameType) -> bool:
        # Not any() of a generator: each step of it would be one more call, at each call of the target's.
        for one in self._subscriptions:  # noqa: SIM110
            if one.wants(code, frame):
                return True
        return False
