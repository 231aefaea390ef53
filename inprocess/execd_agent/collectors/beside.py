"""A trace function beside one of the target's own (3.9 to 3.11): both are told of the same events, in their order.

It stands in a thread's slot with the trampoline of profile functions, which calls it for every event of every frame,
whatever the frame's f_trace is. So f_trace is the target's alone, and is after us what it would be without us. What
the trampoline of trace functions does with it is done here (trace_trampoline in sysmodule.c).
"""

from __future__ import annotations

import sys

from execd_agent.collectors.fanout import DISABLE, nothing, to_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.subscription import Subscription

UNHEARD = "lines of frames in which a tracer of the target's own switched them off (f_trace_lines) are not recorded"


class Beside:
    """What makes such functions; all of them call the same handlers.

    Attributes:
        missed: sentences on what they were not told of.
    """

    def __init__(self) -> None:
        self.missed: set[str] = set()
        self.beside, self.alone, self._redirect = make_beside(self.missed)
        self._is_open = True

    def redirect(self, subscriptions: list[Subscription]) -> None:
        """Call the handlers of these from now on; none: only the target's own functions go on."""
        self._redirect(to_all(subscriptions, ("enter", "line"), 2, DISABLE))

    def first(self, previous: Any, take_over: Any) -> Any:
        """Return what threads to come are given, by the trampoline of trace functions: its first event is a call.

        Args:
            previous: what they would be given without us.
            take_over: has the thread that calls it hear all from then on.
        """

        def begin(frame: FrameType, event: str, argument: Any) -> Any:
            if self._is_open:
                take_over()
                # A handler of calls beside one of lines looks at no frame: that this is one more does not matter.
                self.alone(frame, event, argument)
                if not self._is_open:  # whoever closed it has looked at this thread too early
                    sys.settrace(previous)
            return previous(frame, event, argument)

        return begin

    def close(self) -> None:
        """Take no thread over any more."""
        self._is_open = False


def make_beside(missed: set[str]) -> tuple[Any, Any, Any]:  # noqa: C901 - functions of the same variables
    """Return what makes a trace function beside another, one that is alone, and what redirects all of them."""
    enter = line = nothing
    untrace = sys.settrace

    def beside(own: Any, *, is_tool: bool) -> Any:
        def both(frame: FrameType, event: str, argument: Any) -> None:
            if event == "line":
                line(frame.f_code, frame.f_lineno)
            elif event == "call":
                enter(frame.f_code)
            callee = own if event == "call" or is_tool else frame.f_trace
            if callee is None:
                return
            try:
                result = callee(frame, event, argument)
            except BaseException:
                untrace(None)
                frame.f_trace = None
                raise
            if result is not None:
                frame.f_trace = result
            if not frame.f_trace_lines:
                missed.add(UNHEARD)

        return both

    def alone(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "line":
            line(frame.f_code, frame.f_lineno)
        elif event == "call":
            enter(frame.f_code)

    def redirect(handlers: dict[str, Any]) -> None:
        nonlocal enter, line
        enter, line = handlers.get("enter", nothing), handlers.get("line", nothing)

    return beside, alone, redirect
