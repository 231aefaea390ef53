"""What a collector wants to hear of the interpreter, and how several collectors hear it at once.

The interpreter has one tool id for us (3.12+), or one profile and one trace function a thread (3.9 to 3.11). All
collectors share it: each makes one `Subscription`, installs it at its start and removes it at its stop, in any order.

    heard = Subscription(self._handlers, wants=self._wants, disabled=self._codes)
    caveats = heard.install()       # raises Refused
    heard.poll()                    # from time to time: finds threads that nothing told us of
    heard.rearm()                   # hear again of all places where a handler returned DISABLE
    heard.remove()

`handlers(depth, disable)` returns a dict with any of these callables. They run in the target's threads; they raise
nothing and run none of its code. `sys._getframe(depth)`, in the handler itself, is the frame that it is told of.

    "enter"   (code, ...)        a call, a generator's resumption or a throw into it: trace's "call" event
    "leave"   (code, ...)        a return, a yield, an exception that leaves it
    "enter_c" (code, offset, function, first), "leave_c" (the same): C functions
    "line"    (code, line)       a line, exactly where sys.settrace tells of it: one that jumps onto itself, too

    "trampoline"                 not a handler: the address of a C function for the profile slot of 3.9 to 3.11, which
                                 is called in place of all of these where nobody else hears; its owner says where a
                                 thread may be about to be started (`starts`)

A handler returns `disable` where it needs to hear no more of that event at that place (3.12+: it is switched off when
all who hear it have said so), else None. It may be told again all the same. On 3.9 to 3.11 a line handler's `disable`
has `wants` asked again whether lines of that code are to be told; other events go on.

`wants(code, frame)`: whether lines of a frame of this code are to be told, asked at each call on 3.9 to 3.11, where
untold lines cost nothing. Where it is not asked (3.12+) the line handler is told and returns `disable` itself.
`disabled()`: the code objects in which a handler has returned `disable`, for whoever comes later; keep them alive.
`force`: on 3.9 to 3.11, take the place of tools written in C, and call them.
`resume(ident, frame)`: told of a thread, and where it is, that was not heard of for a while.

On 3.9 to 3.11 a subscription with "line" hears "line" and "enter" alone, in their order, from the trace function; one
without it hears all else from the profile function. On 3.12+ the agent's thread may be heard too (unheard.py):
`selection.py` tells what of it to leave out, and decides once a code object what --ignore-module and --ignore-dir leave
out.
"""

from __future__ import annotations

from execd_agent import compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    shared: Any
elif compat.HAS_MONITORING:
    from execd_agent.collectors import monitoringhooks as shared
else:
    from execd_agent.collectors import slothooks as shared


class Subscription:
    """One collector's part of the interpreter's events; see above for the arguments."""

    def __init__(
        self,
        handlers: Callable[[int, Any], dict[str, Any]],
        *,
        wants: Callable[[CodeType, FrameType], bool] | None = None,
        disabled: Callable[[], list[CodeType]] | None = None,
        resume: Callable[[int, FrameType | None], None] | None = None,
        force: bool = False,
    ) -> None:
        self.handlers = handlers
        self.wants = wants or _always
        self.disabled = disabled or list
        self.resume = resume or _resume_nothing
        self.force = force
        self.caveats: list[str] = []
        # Which of a thread's functions tells it, on 3.9 to 3.11.
        self.slot = ""
        self._joined = False

    def install(self) -> list[str]:
        """Hear of events in all threads but the calling one from now on. Returns caveats. Raises Refused."""
        # Noted before it is done: a child forked in between takes it back.
        self._joined = True
        shared.join(self)
        return self.caveats

    def poll(self) -> None:
        """Look for threads that nothing told us of, and whether the hooks are ours still."""
        shared.poll(self)

    def rearm(self) -> None:
        """Hear again of every place where DISABLE was returned."""
        shared.rearm(self)

    def starts(self) -> None:
        """Be told, by whoever has a trampoline, of the first call of a function that is called like STARTS."""
        shared.starts(self)

    def shortcut(self) -> None:
        """Have the calling thread, of which something else was told, tell the trampoline."""
        shared.shortcut(self)

    def slots(self) -> tuple[tuple[int, int], Any] | None:
        """Return what a trampoline's owner needs to set it in all threads (3.9 to 3.11): how, and the object beside it.

        None where others hear by the same slot, or of audit events.
        """
        hooks = shared.hooks_of(self)
        return None if hooks is None else hooks.slots()

    def step_aside(self, returns: Callable[[], None]) -> None:
        """Leave the slots as they are, without the trampoline, until `step_back`: its owner sets it.

        Args:
            returns: called where somebody else is about to hear by the same slot; it steps back.
        """
        hooks = shared.hooks_of(self)
        if hooks is not None:
            hooks.step_aside(returns)

    def step_back(self) -> None:
        """Look after the slots again."""
        hooks = shared.hooks_of(self)
        if hooks is not None:
            hooks.step_aside(None)

    def remove(self) -> None:
        """Hear no more; the others go on."""
        if self._joined:
            # Noted after it is done: a child forked in between does it again.
            shared.leave(self)
            self._joined = False
            # They hold whoever holds us.
            self.handlers = lambda _depth, _disable: {}
            self.wants, self.disabled, self.resume = _never, list, _resume_nothing

    def note(self, caveat: str) -> None:
        """Remember what whoever reads the result must know, once."""
        if caveat not in self.caveats:
            self.caveats.append(caveat)


def _always(_code: CodeType, _frame: FrameType) -> bool:
    return True


def _never(_code: CodeType, _frame: FrameType) -> bool:
    return False


def _resume_nothing(_ident: int, _frame: FrameType | None) -> None:
    """Stand for a subscription's `resume`."""
