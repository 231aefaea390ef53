"""The profile function of 3.9 to 3.11: calls, returns and C functions for all who hear them.

It stays the same function whoever comes and goes, for threads have it in their slots; what it calls changes.
"""

from __future__ import annotations

from execd_agent.collectors.fanout import STARTS, nothing, to_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.subscription import Subscription


def make_profile_function() -> tuple[Any, Any, Any]:
    """Return a profile function for sys.setprofile, what redirects it to other handlers, and what retires it.

    A retired one does nothing for ever: a program may have kept it, and set it again long after we are gone.
    """
    # Never None: a thread may be between its question and its call.
    enter = leave = enter_c = leave_c = nothing
    counts_c = False
    # What is called where a thread may be about to be started, of the first ones: see SlotHooks.
    starting: Any = None

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            if starting is not None and frame.f_code.co_name == STARTS:
                starting()
            enter(frame.f_code)
        elif event == "return":
            leave(frame.f_code)
        elif not counts_c:
            return
        elif event == "c_call":
            enter_c(frame.f_code, 0, argument, argument)
        else:
            leave_c(frame.f_code, 0, argument, argument)

    def redirect(handlers: dict[str, Any]) -> None:
        nonlocal enter, leave, enter_c, leave_c, counts_c, starting
        enter, leave = handlers.get("enter", nothing), handlers.get("leave", nothing)
        enter_c, leave_c = handlers.get("enter_c", nothing), handlers.get("leave_c", nothing)
        counts_c = "enter_c" in handlers
        starting = handlers.get("starting")

    def retired(_frame: FrameType, _event: str, _argument: Any) -> None:
        # A function can take another's code where that names the same variables.
        return None if True else (enter, leave, enter_c, leave_c, counts_c, starting)

    def retire() -> None:
        profile.__code__ = retired.__code__
        redirect({})

    return profile, redirect, retire


class ProfileFunctions:
    """The profile function as threads have it, alone or above one of the target's own."""

    # The slot whose trampoline calls what stands above another.
    above_slot = "profile"
    # Of the core, where it alone hears: called in place of the interpreter's own trampoline; 0 for that.
    trampoline = 0

    def __init__(self) -> None:
        self.starting: Any = None
        self.missed: set[str] = set()
        self.direct, self._redirect, self._retire = make_profile_function()
        self._below_another, self._redirect_below, self._retire_below = make_profile_function()

    def redirect(self, subscriptions: list[Subscription]) -> None:
        """Call the handlers of these from now on."""
        names = ("enter", "leave", "enter_c", "leave_c")
        starting = {"starting": self.starting} if subscriptions else {}
        self.trampoline = 0
        if len(subscriptions) == 1:
            self.trampoline = subscriptions[0].handlers(1, None).get("trampoline", 0)
        self._redirect({**to_all(subscriptions, names, 2, None), **starting})
        self._redirect_below({**to_all(subscriptions, names, 3, None), **starting})

    def above(self, previous: Any, *, is_tool: bool = False) -> Any:  # noqa: ARG002 - both hear all
        """Return a function that calls the target's own one too; the handlers are a frame further away."""
        return chained(self._below_another, previous)

    def after(self, _ident: int) -> Any:
        """Return what a thread is given that has none of the target's own now, and may have had."""
        return self.direct

    def hook(self, previous: Any, _take_over: Any) -> Any:
        """Return what threads to come are given where the target has set a function for them."""
        return self.above(previous)

    def close(self) -> None:
        """Nothing to do: what threads to come are given takes nothing over."""

    def reach(self, idents: set[int]) -> None:
        """Nothing to do for the running frames of threads: their profile function is told of all."""

    def retire(self) -> list[Any]:
        """Do nothing for ever. Returns the functions."""
        self._retire()
        self._retire_below()
        return [self.direct, self._below_another]


def chained(profile: Any, previous: Any) -> Any:
    """Return a profile function that calls both."""

    def both(frame: FrameType, event: str, argument: Any) -> None:
        profile(frame, event, argument)
        previous(frame, event, argument)

    return both
