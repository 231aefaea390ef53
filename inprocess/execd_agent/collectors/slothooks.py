"""The hooks of 3.9 to 3.11: one profile and one trace function in all threads, for all subscriptions.

New threads of the threading module get the function by what threading.setprofile and threading.settrace set; `poll`
finds the others.
"""

from __future__ import annotations

import sys

from execd_agent import originals
from execd_agent.collectors import Refused
from execd_agent.collectors.fanout import DISABLE
from execd_agent.collectors.threadstates import Slot, ThreadStates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from execd_agent.collectors.profilehooks import ProfileFunctions
    from execd_agent.collectors.subscription import Subscription
    from execd_agent.collectors.threadstates import Seen
    from execd_agent.collectors.tracehooks import TraceFunctions


class SlotHooks:
    """One slot of all threads: the function that is ours there, and what was there before it.

    Args:
        slot: which.
        functions: what goes into it.

    Raises NoThreadStates where there is no way to other threads.
    """

    def __init__(self, slot: Slot, functions: ProfileFunctions | TraceFunctions) -> None:
        self._slot = slot
        self._functions = functions
        self._states = ThreadStates(slot)
        self._subscriptions: list[Subscription] = []
        self._replaced: dict[int, Any] = {}
        self._armed: dict[int, Any] = {}
        self._previous_hook: Any = None
        self._hook: Any = functions.direct
        self._own_ident = originals.current_thread_id()

    def join(self, subscription: Subscription) -> None:
        """Let one more hear every thread but this one. Raises Refused."""
        self._subscriptions.append(subscription)
        self._functions.redirect(self._subscriptions)
        if len(self._subscriptions) == 1:
            self._install()
        self._functions.reach(set(self._armed))

    def rearm(self) -> None:
        """Ask again whether lines of the running frames are wanted."""
        self._functions.reach(set(self._armed))

    def leave(self, subscription: Subscription) -> bool:
        """Let one hear no more. Returns whether somebody else does; else the function is out everywhere."""
        if subscription not in self._subscriptions:
            return bool(self._subscriptions)
        if len(self._subscriptions) == 1:
            self._remove()
        self._subscriptions.remove(subscription)
        self._functions.redirect(self._subscriptions)
        return bool(self._subscriptions)

    def poll(self) -> None:
        """Set the function in threads that have none yet, or none any more."""
        seen = [one for one in self._states.look() if one.ident != self._own_ident]
        # The number of a thread that ended is given to a new one, whose function nobody has looked at.
        for ended in self._armed.keys() - {one.ident for one in seen}:
            del self._armed[ended]
            self._replaced.pop(ended, None)
        ours = {id(self._functions.direct), id(self._hook), *map(id, self._armed.values())}
        objects = self._states.objects({one.address for one in seen if one.object not in ours})
        functions = {}
        idents = set()
        for one in seen:
            if one.object not in ours:
                function = self._function_for(one, objects.get(one.address))
                if function is not None:
                    functions[one.address] = function
                    idents.add(one.ident)
        self._states.set_functions(functions)
        if idents:
            self._functions.reach(idents)

    def _install(self) -> None:
        self._refuse_foreign_functions()
        threading: Any = sys.modules.get("threading")
        if hasattr(threading, self._slot.hook):
            self._previous_hook = getattr(threading, self._slot.hook)
            if self._previous_hook is not None:
                if self._functions.above is None:
                    self._refuse("for the threads to come", self._previous_hook)
                self._hook = self._functions.above(self._previous_hook)
            setattr(threading, self._slot.hook, self._hook)
        self.poll()

    def _function_for(self, one: Seen, installed: Any) -> Any:
        """Return what to set in a thread that has none of ours, None for nothing."""
        if one.ident in self._armed:
            if one.function:
                return None  # the target has set its own since: that stays
            # An exception that is raised within such a function takes it out (call_trampoline in sysmodule.c).
            self._note("recording was off for up to a second at a time: exceptions or the target took it out")
            for subscription in self._subscriptions:
                subscription.resume(one.ident, sys._current_frames().get(one.ident))
            return self._armed[one.ident]
        return self._first_function_for(one, installed)

    def _first_function_for(self, one: Seen, installed: Any) -> Any:
        """Return what to set in a thread that never had one of ours."""
        if one.function not in (0, self._states.trampoline):
            self._note("a C %s runs in thread %d, which is not recorded" % (self._slot.tool, one.ident))
            return None
        if one.function and installed is None:
            return None  # it changes just now; the next poll looks again
        if installed is None:
            self._armed[one.ident] = self._functions.direct
            return self._functions.direct
        if self._functions.above is None:
            self._note("a tracer of the target's own is set in thread %d, which is not recorded" % one.ident)
            return None
        self._replaced[one.ident] = installed
        self._armed[one.ident] = self._functions.above(installed)
        return self._armed[one.ident]

    def _remove(self) -> None:
        """Take the function out where it still is, and put back what was there."""
        threading: Any = sys.modules.get("threading")
        if getattr(threading, self._slot.hook, None) is self._hook:
            setattr(threading, self._slot.hook, self._previous_hook)
        self._states.set_functions(self._functions_before())
        retired.extend([*self._functions.retire(), self._hook, *self._armed.values()])
        del retired[:-RETIRED_KEPT]

    def _functions_before(self) -> dict[int, Any]:
        """Return what each thread that has one of ours had before, None for nothing."""
        before: dict[int, Any] = {}
        name = self._slot.name
        # A thread enters itself there and sets threading's function then; its number may have been another's.
        started = getattr(sys.modules.get("threading"), "_active", ())
        for one in self._states.look():
            if one.object == id(self._armed.get(one.ident)):
                before[one.address] = self._replaced.get(one.ident)
            elif one.object == id(self._functions.direct):
                before[one.address] = None
            elif one.object == id(self._hook):
                before[one.address] = self._previous_hook
            elif one.object and one.ident in self._armed:
                self._note(
                    "the target replaced its %s function in thread %d; recording ended there" % (name, one.ident)
                )
            elif one.ident in self._armed and one.ident in started:
                self._note("the %s function was taken out in thread %d; recording ended there" % (name, one.ident))
        return before

    def _refuse_foreign_functions(self) -> None:
        """Refuse to take the place of a function written in C, or of one that ours cannot call."""
        trampoline = self._states.trampoline if self._functions.above is not None else 0
        foreign = [one for one in self._states.look() if one.function not in (0, trampoline)]
        objects = self._states.objects({one.address for one in foreign})
        for one in foreign:
            where = "in thread %d" % one.ident
            if one.function == self._states.trampoline:
                self._refuse(where, objects.get(one.address))
            kind = type(objects.get(one.address))
            name = kind.__module__ + "." + kind.__name__
            raise Refused("a %s written in C (%s) is active %s" % (self._slot.tool, name, where))

    def _refuse(self, where: str, function: Any) -> NoReturn:
        is_function = type(function) is type(join)
        name = function.__code__.co_name if is_function else type(function).__qualname__
        raise Refused("a %s of the target's own (%s) is set %s" % (self._slot.tool, name, where))

    def _note(self, caveat: str) -> None:
        for subscription in self._subscriptions:
            subscription.note(caveat)


# Those that somebody hears through, by the name of their slot.
_hooks: dict[str, SlotHooks] = {}
# Functions that were in a slot. A thread may have taken one from there and be about to call it, without a reference of
# its own: what call_trampoline does before (sysmodule.c, 3.9 to 3.11) may collect garbage, whose finalizers give the
# GIL away. So they outlive us for a while, and do nothing.
retired: list[Any] = []
RETIRED_KEPT = 16


def join(subscription: Subscription) -> None:
    """Let one more hear all threads. Raises Refused, and NoThreadStates of it."""
    name = subscription.slot = "trace" if "line" in subscription.handlers(2, DISABLE) else "profile"
    if name not in _hooks:
        _hooks[name] = SlotHooks(Slot(name), _functions_of(name))
    _hooks[name].join(subscription)


def poll(subscription: Subscription) -> None:
    """Look for threads that nothing told of."""
    if subscription.slot in _hooks:
        _hooks[subscription.slot].poll()


def rearm(subscription: Subscription) -> None:
    """Ask again whether lines of the running frames are wanted."""
    if subscription.slot in _hooks:
        _hooks[subscription.slot].rearm()


def leave(subscription: Subscription) -> None:
    """Let one hear no more."""
    hooks = _hooks.get(subscription.slot)
    if hooks is not None and not hooks.leave(subscription):
        del _hooks[subscription.slot]


def _functions_of(name: str) -> ProfileFunctions | TraceFunctions:
    """Return what goes into a slot; only what is used is loaded."""
    if name == "profile":
        from execd_agent.collectors.profilehooks import ProfileFunctions  # noqa: PLC0415 - as it says

        return ProfileFunctions()
    from execd_agent.collectors.tracehooks import TraceFunctions  # noqa: PLC0415 - as it says

    return TraceFunctions()
