"""The hooks of 3.9 to 3.11: one profile and one trace function in all threads, for all subscriptions.

New threads of the threading module get the function by what threading.setprofile and threading.settrace set, also where
the program imports it later: before its first thread there is a call of a function `start`. `poll` finds the others.
"""

from __future__ import annotations

import sys

from execd_agent import originals
from execd_agent.collectors import Refused
from execd_agent.collectors.fanout import DISABLE
from execd_agent.collectors.threadstates import Slot, ThreadStates, is_audited
from execd_agent.frames import innermost_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from execd_agent.collectors.profilehooks import ProfileFunctions
    from execd_agent.collectors.subscription import Subscription
    from execd_agent.collectors.threadstates import Seen
    from execd_agent.collectors.tracehooks import TraceFunctions

# A thread may switch its own tool on and off all the time.
_LOOKS = 20


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
        # By thread: C function and object, of the target's own and of ours.
        self._replaced: dict[int, tuple[int, Any]] = {}
        self._armed: dict[int, tuple[int, Any]] = {}
        self._previous_hook: Any = None
        self._hook: Any = functions.direct
        # What a thread has that began with the hook.
        self._taken_over: Any = functions.direct
        self._above_trampoline = 0
        self._is_open = True
        # What steps back, while the trampoline's owner has it out of the slots.
        self._returns: Any = None
        self._own_ident = originals.current_thread_id()

    def join(self, subscription: Subscription) -> None:
        """Let one more hear every thread but this one. Raises Refused."""
        if self._returns is not None:
            self._returns()
        self._subscriptions.append(subscription)
        self._redirect()
        if len(self._subscriptions) == 1:
            self._install()
        self.rearm()

    def rearm(self) -> None:
        """Ask again whether lines of the running frames are wanted."""
        direct = id(self._functions.direct)
        self._functions.reach({one.ident for one in self._states.look() if one.object == direct})

    def leave(self, subscription: Subscription) -> bool:
        """Let one hear no more. Returns whether somebody else does; else the function is out everywhere."""
        if subscription not in self._subscriptions:
            return bool(self._subscriptions)
        if len(self._subscriptions) == 1:
            self._remove()
        self._subscriptions.remove(subscription)
        self._redirect()
        return bool(self._subscriptions)

    def slots(self) -> tuple[tuple[int, int], Any] | None:
        """Return how the trampoline of who alone hears is set, and the object beside it; None where there is none."""
        is_alone = self._functions.trampoline and not is_audited()
        return (self._states.reach, self._functions.direct) if is_alone else None

    def step_aside(self, returns: Any) -> None:
        """Leave the slots to the trampoline's owner, which is out of them, until there is nothing that steps back."""
        self._returns = returns
        threading: Any = sys.modules.get("threading")
        now, then = (self._hook, self._previous_hook)[:: -1 if returns is None else 1]
        if type(threading) is type(sys) and getattr(threading, self._slot.hook, self) is now:
            setattr(threading, self._slot.hook, then)

    def _redirect(self) -> None:
        """Have the function call those who hear now; in the threads that have it already too."""
        before = self._functions.trampoline
        self._functions.redirect(self._subscriptions)
        if self._functions.trampoline != before and self._armed and self._is_open:
            self.poll()

    def poll(self) -> None:
        """Set the function in threads that have none yet, or none any more."""
        if self._returns is not None:
            return
        if self._functions.starting is not None:
            self._set_hook()
            if hasattr(sys.modules.get("threading"), self._slot.hook):
                # No call needs to look for it any more.
                self._functions.starting = None
                self._functions.redirect(self._subscriptions)
        seen = [one for one in self._states.look() if one.ident != self._own_ident]
        # The number of a thread that ended is given to a new one, whose function nobody has looked at.
        for ended in self._armed.keys() - {one.ident for one in seen}:
            del self._armed[ended]
            self._replaced.pop(ended, None)
        ours = self.addresses()
        by_address = {one.address: one for one in seen}
        objects = self._states.objects({one.address: one for one in seen if one.object and one.object not in ours})
        settings: dict[int, tuple[int, Any] | None] = {}
        reached = set()
        for one in seen:
            is_ours = one.object in ours
            setting = self._again(one) if is_ours else self._setting_for(one, objects.get(one.address))
            if setting is not None:
                settings[one.address] = setting
                if setting[1] is self._functions.direct:
                    reached.add(one.ident)
        if not self._states.set_functions(settings, by_address):
            self._note("the program has got audit hooks: threads that came since, but for threading's, are missing")
        if reached:
            self._functions.reach(reached)
        self._tell_missed()

    def addresses(self) -> set[int]:
        """Return where the objects are that are ours in a slot."""
        functions = (self._functions.direct, self._hook, self._taken_over)
        return {id(one) for one in functions}.union([id(setting[1]) for setting in self._armed.values()])

    def _install(self) -> None:
        self._refuse_foreign_functions()
        threading: Any = sys.modules.get("threading")
        if hasattr(threading, self._slot.hook):
            self._previous_hook = getattr(threading, self._slot.hook)
            if self._previous_hook is not None:
                setting = self._above(self._previous_hook)
                self._taken_over = setting[1]
                self._hook = self._functions.hook(self._previous_hook, lambda: self._states.set_own(setting))
            setattr(threading, self._slot.hook, self._hook)
        else:
            self._functions.starting = self._set_hook
            self._functions.redirect(self._subscriptions)
        self.poll()

    def starts(self) -> None:
        """Look for threading, where it was not there before; called in any thread."""
        if self._functions.starting is not None:
            self._functions.starting()

    def shortcut(self) -> None:
        """Give the calling thread the trampoline, where it has begun with the function by threading's own setter."""
        is_direct = self._functions.trampoline and self._slot.get() is self._functions.direct
        if not is_direct or not self._is_open or is_audited():
            return
        self._armed[originals.current_thread_id()] = setting = self._directly()
        self._states.set_own(setting)
        if not self._is_open:  # it was taken out meanwhile
            self._slot.set(None)

    def _set_hook(self) -> None:
        """Set the function for threads to come in a module that was not there before; called in any thread."""
        threading: Any = sys.modules.get("threading")
        # A program may put there what it likes, and what that raises would be the thread's.
        if type(threading) is not type(sys):
            return
        if self._is_open and self._returns is None and getattr(threading, self._slot.hook, self._hook) is None:
            setattr(threading, self._slot.hook, self._hook)
            if not self._is_open:  # it was taken out meanwhile
                setattr(threading, self._slot.hook, None)

    def _again(self, one: Seen) -> tuple[int, Any] | None:
        """Return what to set in a thread that has one of ours, None for nothing."""
        is_known = one.ident in self._armed or self._functions.trampoline
        if is_known and one.object == id(self._functions.direct):
            # Who hears may have changed, or it came to a new thread by threading's own setter.
            self._armed[one.ident] = self._directly()
        setting = self._armed.get(one.ident)
        # Taken from sys.gettrace and set again, it is called by another trampoline.
        is_other = setting is not None and one.object == id(setting[1]) and one.function != setting[0]
        return setting if is_other else None

    def _setting_for(self, one: Seen, installed: Any) -> tuple[int, Any] | None:
        """Return what to set in a thread that has none of ours, None for nothing."""
        if one.ident not in self._armed:
            return self._first_setting_for(one, installed)
        if one.function:
            return None  # the target has set its own since: that stays
        # An exception that is raised within such a function takes it out (call_trampoline in sysmodule.c).
        self._note("recording was off for up to a second at a time: exceptions or the target took it out")
        for subscription in self._subscriptions:
            subscription.resume(one.ident, innermost_frame(one.ident))
        if self._replaced.pop(one.ident, None) is not None:
            # So the target's own is out, too, and would be without us.
            self._armed[one.ident] = self._alone(one.ident)
        return self._armed[one.ident]

    def _first_setting_for(self, one: Seen, installed: Any) -> tuple[int, Any] | None:
        """Return what to set in a thread that never had one of ours."""
        if one.function == 0:
            self._armed[one.ident] = self._alone(one.ident)
            return self._armed[one.ident]
        if one.object and installed is None:
            return None  # it changes just now; the next poll looks again
        in_the_way = self._in_the_way(one, installed)
        if in_the_way:
            self._note("%s runs in thread %d, which is not recorded" % (in_the_way, one.ident))
            return None
        self._replaced[one.ident] = (one.function, installed)
        if one.function == self._states.trampoline:
            self._armed[one.ident] = self._above(installed)
        else:
            self._note(
                "%s, a tool written in C that was active already, is called by execd meanwhile: its times are too long"
                % name_of(type(installed))
            )
            tool = self._states.caller(one.function, installed)
            self._armed[one.ident] = self._above(tool, is_tool=True)
        return self._armed[one.ident]

    def _above(self, previous: Any, *, is_tool: bool = False) -> tuple[int, Any]:
        """Return what calls a function of the target's own, too."""
        return self._trampoline_above(), self._functions.above(previous, is_tool=is_tool)

    def _alone(self, ident: int) -> tuple[int, Any]:
        """Return what a thread is given that has none of the target's own."""
        function = self._functions.after(ident)
        return self._directly() if function is self._functions.direct else (self._trampoline_above(), function)

    def _directly(self) -> tuple[int, Any]:
        """Return what stands alone in a slot."""
        return self._functions.trampoline or self._states.trampoline, self._functions.direct

    def _trampoline_above(self) -> int:
        if not self._above_trampoline:
            self._above_trampoline = self._states.trampoline_of(self._functions.above_slot)
        return self._above_trampoline

    def _in_the_way(self, one: Seen, installed: Any) -> str:
        """Return what forbids to take the place of what a thread has, "" for nothing."""
        tool = self._slot.tool
        if one.function != self._states.trampoline:
            is_forced = installed is not None and any(each.force for each in self._subscriptions)
            return "" if is_forced else "a C " + tool
        # An exception of the trace function's would take the profile function out: it has that one's trampoline.
        profile = _hooks.get("profile")
        if one.profile and (profile is None or one.profile not in profile.addresses()):
            return "a tracer beside a profiler, both of the target's own,"
        return ""

    def _remove(self) -> None:
        """Take the function out where it still is, and put back what was there."""
        self._is_open = False
        self._functions.close()
        self._tell_missed()
        threading: Any = sys.modules.get("threading")
        if getattr(threading, self._slot.hook, None) is self._hook:
            setattr(threading, self._slot.hook, self._previous_hook)
        before, looked = self._settings_before()
        self._states.set_functions(before, looked)
        armed = [setting[1] for setting in self._armed.values()]
        retired.extend(dict.fromkeys([*self._functions.retire(), self._hook, self._taken_over, *armed]))
        del retired[:-RETIRED_KEPT]

    def _settings_before(self) -> tuple[dict[int, tuple[int, Any] | None], dict[int, Seen]]:
        """Return what each thread that has one of ours had before, None for nothing, and what it was seen with."""
        before: dict[int, tuple[int, Any] | None] = {}
        name = self._slot.name
        hook = None if self._previous_hook is None else (self._states.trampoline, self._previous_hook)
        # A thread enters itself there and sets threading's function then; its number may have been another's.
        started = getattr(sys.modules.get("threading"), "_active", ())
        looked = {one.address: one for one in self._states.look()}
        for one in looked.values():
            if one.ident in self._armed and one.object == id(self._armed[one.ident][1]):
                before[one.address] = self._replaced.get(one.ident)
            elif one.object == id(self._functions.direct):
                before[one.address] = None
            elif one.object in (id(self._hook), id(self._taken_over)):
                before[one.address] = hook
            elif one.object and one.ident in self._armed:
                self._note(
                    "the target replaced its %s function in thread %d; recording ended there" % (name, one.ident)
                )
            elif one.ident in self._armed and one.ident in started and self._returns is None:
                self._note("the %s function was taken out in thread %d; recording ended there" % (name, one.ident))
        return before, looked

    def _refuse_foreign_functions(self) -> None:
        """Refuse to take the place of a function written in C, or of one that ours cannot call."""
        for one, installed in self._foreign_functions():
            in_the_way = self._in_the_way(one, installed)
            if in_the_way and one.function != self._states.trampoline:
                facts = (self._slot.tool, name_of(type(installed)), one.ident)
                raise Refused("a %s written in C (%s) is active in thread %d; --force has it called from ours" % facts)
            if in_the_way:
                raise Refused("%s is set in thread %d" % (in_the_way, one.ident))

    def _foreign_functions(self) -> list[tuple[Seen, Any]]:
        """Return the threads that have a function, with its object."""
        objects: dict[int, Any] = {}
        for _ in range(_LOOKS):
            foreign = {one.address: one for one in self._states.look() if one.function and one.object}
            objects = self._states.objects(foreign)
            if len(objects) == len(foreign):
                break
            # One has changed between the two: what it has now is seen at the next look.
        return [(foreign[address], installed) for address, installed in objects.items()]

    def _tell_missed(self) -> None:
        for caveat in list(self._functions.missed):
            self._note(caveat)

    def _note(self, caveat: str) -> None:
        for subscription in self._subscriptions:
            subscription.note(caveat)


def name_of(kind: type) -> str:
    """Return the name that a tool's type has in messages."""
    return kind.__module__ + "." + kind.__name__


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


def starts(subscription: Subscription) -> None:
    """Be told by a trampoline's owner that a thread may be about to be started."""
    hooks = _hooks.get(subscription.slot)
    if hooks is not None:
        hooks.starts()


def shortcut(subscription: Subscription) -> None:
    """Have the calling thread's events told by the trampoline alone, if there is one."""
    hooks = _hooks.get(subscription.slot)
    if hooks is not None:
        hooks.shortcut()


def hooks_of(subscription: Subscription) -> SlotHooks | None:
    """Return what somebody hears through."""
    return _hooks.get(subscription.slot)


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
