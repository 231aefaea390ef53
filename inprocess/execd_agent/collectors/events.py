"""The handlers of the calls collector: what a call, a return, a C call and a C return do to the call tree.

They run in the target's threads, in the midst of its code. The signatures are those of sys.monitoring callbacks; the
profile function of older versions calls them too. Each returns None, raises nothing of its own and runs no code of the
program's. A generator's resumption counts as a call and its yield as a return, as in cProfile.

What an event costs is looked at in the program itself: where the agent asks a thread for it, handlers are timed from
the reading of the clock to their end, which is told to the node in whose time that is.
"""

from __future__ import annotations

import sys

from execd_agent.collectors import cfunctions
from execd_agent.collectors.calltree import C_FUNCTION_BYTES

# As the importer names it; in a target no thread but the agent's runs it.
_OWN_CODE = "<execd_agent"
# See filters.py.
_OUT = 1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    from execd_agent.collectors.calltree import CallTree, ThreadTree


def handlers(calls: CallTree, depth: int, disable: Any, *, builtins: bool) -> dict[str, Any]:
    """Return the handlers over one call tree.

    Args:
        calls: where to record.
        depth: how many frames lie between a handler and the code that it is told of.
        disable: what a callback returns for code of our own, of which nothing more is to be heard.
        builtins: whether C functions are recorded too.
    """
    found = {"enter": _make_enter(calls, depth, disable), "leave": _make_leave(calls, depth, disable)}
    if builtins:
        found.update(enter_c=_make_enter_c(calls, depth, disable), leave_c=_make_leave_c(calls, depth))
    return found


def _make_enter(calls: CallTree, depth: int, disable: Any) -> Any:  # noqa: C901 - as for enter_c
    clock, local, child, timed, leave_out = calls.clock, calls.local, calls.child, calls.timed, calls.leave_out
    choice = calls.choice

    def enter(code: CodeType, _offset: int = 0, _error: object = None) -> Any:
        now = clock()
        try:
            tree: ThreadTree | None = local.tree
        except AttributeError:
            tree = calls.begin_thread(sys._getframe(depth), now, entering=True)
        if tree is None:
            return disable if code.co_filename.startswith(_OWN_CODE) else None
        if calls.greenlet is not None:
            calls.follow(tree, sys._getframe(depth).f_back, now)
        key = id(code)
        below = tree.node.children.get(key) if not tree.skipped else None
        if below is None:
            chosen = choice(code)
            if chosen:
                return disable if chosen == _OUT else None
        if tree.skipped:
            leave_out(tree)
            return None
        node = tree.node
        elapsed = now - tree.last_ns
        tree.last_ns = now
        node.self_ns += elapsed
        if below is None:
            below = child(node, key, code)
            if below is None:
                leave_out(tree)
                return None
        below.calls += 1
        tree.node = below
        if tree.timing:
            timed(tree, below, now)
        return None

    return enter


def _make_leave(calls: CallTree, depth: int, disable: Any) -> Any:
    clock, local, timed, return_to = calls.clock, calls.local, calls.timed, calls.return_to
    choice = calls.choice

    def leave(code: CodeType, _offset: int = 0, _value: object = None) -> Any:
        now = clock()
        try:
            tree: ThreadTree | None = local.tree
        except AttributeError:
            tree = calls.begin_thread(sys._getframe(depth), now)
        if tree is None:
            return disable if code.co_filename.startswith(_OWN_CODE) else None
        if calls.greenlet is not None:
            calls.follow(tree, sys._getframe(depth), now)
        node = tree.node
        if node.key != id(code) or tree.skipped:
            chosen = choice(code)
            if chosen:
                return disable if chosen == _OUT else None
        if tree.skipped:
            return_to(tree, now)
            return None
        elapsed = now - tree.last_ns
        tree.last_ns = now
        node.self_ns += elapsed
        if node.key != id(code):
            node = calls.resynchronise(tree, sys._getframe(depth))
        node = tree.node = node.parent or tree.root
        if tree.timing:
            timed(tree, node, now)
        return None

    return leave


def _make_enter_c(calls: CallTree, depth: int, disable: Any) -> Any:  # noqa: C901 - as for enter_c
    clock, local, child, known = calls.clock, calls.local, calls.child, calls.c_functions
    timed, leave_out, choice = calls.timed, calls.leave_out, calls.choice
    builtin, descriptor = cfunctions.BUILTIN, cfunctions.METHOD_DESCRIPTOR
    key_of, is_builtin = cfunctions.key_of, cfunctions.is_builtin
    python_function, bound_method = cfunctions.FUNCTION, cfunctions.METHOD
    missing = getattr(getattr(sys, "monitoring", None), "MISSING", None)

    # A call less here is 50 ns less at every C call.
    def enter_c(code: CodeType, _offset: int, function: Any, first: object) -> Any:  # noqa: C901, PLR0912 - see above
        try:
            tree: ThreadTree | None = local.tree
        except AttributeError:
            tree = calls.begin_thread(sys._getframe(depth), clock())
        if tree is None:
            return disable if code.co_filename.startswith(_OWN_CODE) else None
        if calls.greenlet is not None:
            calls.follow(tree, sys._getframe(depth), clock())
        node = tree.node
        if node.key != id(code):
            chosen = choice(code)
            if chosen:
                return disable if chosen == _OUT else None
            node = calls.caller(tree, code, sys._getframe(depth))
        kind = type(function)
        if kind is descriptor and first is not missing:
            key: object = id(function)
        elif kind is builtin or is_builtin(kind):
            key = key_of(function)
        else:
            # From 3.12 on each call is told: after those of C code that does not count a return follows.
            place = tree.over if tree.skipped else node
            place.uncounted += 1 if kind is python_function or kind is bound_method else 2
            return None
        if tree.skipped:
            leave_out(tree)
            return None
        now = clock()
        elapsed = now - tree.last_ns
        tree.last_ns = now
        node.self_ns += elapsed
        below = node.children.get(key)
        if below is None:
            if key not in known:
                known[key] = _describe(function, key)
                calls.used_bytes += C_FUNCTION_BYTES
            below = child(node, key, known[key][0])
            if below is None:
                leave_out(tree)
                return None
        below.calls += 1
        tree.node = below
        if tree.timing:
            timed(tree, below, now)
        return None

    return enter_c


def _describe(function: Any, key: object) -> tuple[str, object]:
    """Return a C function's printed name, and the function where its identity is its key: so it keeps it.

    A bound method is not kept: the object that it is bound to would live as long as the recording.
    """
    return cfunctions.printed(function), function if type(key) is int else None


def _make_leave_c(calls: CallTree, depth: int) -> Any:  # noqa: C901 - as for enter_c
    clock, local, timed, return_to = calls.clock, calls.local, calls.timed, calls.return_to
    builtin, descriptor, is_builtin = cfunctions.BUILTIN, cfunctions.METHOD_DESCRIPTOR, cfunctions.is_builtin
    missing = getattr(getattr(sys, "monitoring", None), "MISSING", None)
    choice = calls.choice

    def leave_c(code: CodeType, _offset: int, function: Any, first: object) -> None:  # noqa: C901 - as above
        kind = type(function)
        if (kind is descriptor and first is missing) or not (kind is descriptor or kind is builtin or is_builtin(kind)):
            return
        now = clock()
        try:
            tree: ThreadTree | None = local.tree
        except AttributeError:
            tree = calls.begin_thread(sys._getframe(depth), now)
        if tree is None:
            return
        if calls.greenlet is not None:
            calls.follow(tree, sys._getframe(depth), now)
        node = tree.node
        is_called = type(node.what) is str and node.parent.key == id(code)  # type: ignore[union-attr]
        if not is_called or tree.skipped:
            # Such a return goes with its call, and is not switched off by itself.
            if choice(code):
                return
            if tree.skipped:
                return_to(tree, now)
                return
        elapsed = now - tree.last_ns
        tree.last_ns = now
        node.self_ns += elapsed
        # A C function that was running when the session began has no node: its time stays with its caller.
        if is_called:
            node = tree.node = node.parent or tree.root
        elif node.key != id(code):
            # It runs on another stack than before: a greenlet has switched.
            node = tree.node = calls.resynchronise(tree, sys._getframe(depth))
        if tree.timing:
            timed(tree, node, now)

    return leave_c
