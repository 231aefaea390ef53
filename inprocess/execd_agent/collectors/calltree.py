"""The call tree of the calls collector: nodes, one tree a thread, and its table form for the wire.

The shadow stack of a thread is the path from its current node to the root, so a push is a step to a child and a pop a
step to the parent. Time is credited at every event to the node that was current since the last one; total times are
folds of it and need no bookkeeping here. All of this runs under the GIL, a thread's nodes are written by it alone.
"""

from __future__ import annotations

import _thread
import sys

from execd_agent import originals
from execd_agent.collectors.clocks import cpu_ns_of
from execd_agent.frames import innermost_frames, thread_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

# Ended threads whose trees are kept apart; beyond it they are merged into one, or a server with a thread a request
# would fill the memory limit.
_ENDED_THREADS_KEPT = 64
# A node with its dict entry and counters, and what a C function costs beyond it: measured on 3.9 to 3.15.
NODE_BYTES = 460
C_FUNCTION_BYTES = 300
# Flags of code of which each resumption is a call: a generator's, a coroutine's, an asynchronous generator's.
RESUMED = 0x20 | 0x80 | 0x200
# What the memory limit left out is shown as a C function of this name; so it is in native/recording.c.
OVER_LIMIT = "(calls over the memory limit)"
# PID_MAX_LIMIT of Linux.
_MOST_NATIVE_ID = 1 << 22
# More than that a handler takes only where its thread is held up.
_HELD_UP_NS = 50_000


class Node:
    """A function called along one path. `what` is its code object, or the name that cProfile prints of a C function.

    `uncounted` is the number of events that were told while it was the innermost, and are none of a counted call;
    `timed` that of handlers that were timed in its time, and `timed_ns` how long these took.
    """

    __slots__ = ("calls", "children", "key", "opens", "parent", "self_ns", "timed", "timed_ns", "uncounted", "what")

    def __init__(self, parent: Node | None, key: object, what: object) -> None:
        self.parent = parent
        self.key = key
        self.what = what
        self.children: dict[object, Node] = {}
        self.calls = 0
        self.self_ns = 0
        self.opens = 0
        self.uncounted = 0
        self.timed = 0
        self.timed_ns = 0


class ThreadTree:
    """What was recorded of one thread.

    `node` is the current node, `last_ns` the clock at the thread's last event, `skipped` how many calls deep it is
    inside of what the memory limit left out, which `over` stands for, `native_id` the thread's number in the system, 0
    where that is not needed, `timing` how many of its next handlers are to be timed, `greenlet` the id of the
    one that ran at its last event.
    """

    __slots__ = ("greenlet", "ident", "last_ns", "name", "native_id", "node", "over", "root", "skipped", "timing")

    def __init__(self, ident: int, name: str, now_ns: int) -> None:
        self.ident = ident
        self.name = name
        self.root = self.node = Node(None, None, None)
        self.over = Node(self.root, OVER_LIMIT, OVER_LIMIT)
        self.last_ns = now_ns
        self.skipped = 0
        self.native_id = 0
        self.greenlet = 0
        self.timing = 0


class CallTree:
    """All threads' trees of one session.

    Args:
        clock: returns the time of the thread that calls it, ns.
        max_bytes: that it may take.
        own_clocks: tells of the times of other threads, see clocks.py; None where all have the same.
        choice: says what is done with a code object, see filters.py; None where all is recorded.
    """

    def __init__(self, clock: Any, max_bytes: int, own_clocks: Any = None, choice: Any = None) -> None:
        self.clock = clock
        self.own_clocks = own_clocks
        self.choice = choice or _all
        self.started_ns = clock()
        self.local = originals.thread_local()
        self.trees: list[ThreadTree] = []
        self.current: dict[int, ThreadTree] = {}
        # The threads that ran when the session began, each with its outermost frame: numbers are given out again.
        self.initial: dict[int, int] = {}
        self.ended = ThreadTree(0, "(ended threads)", self.started_ns)
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self.lost_calls = 0
        # A node keeps its code object alive, which the program may have made for this one call.
        self.codes: set[int] = set()
        # C functions met so far: (printed name, the function itself, kept so that its id stays its own).
        self.c_functions: dict[object, tuple[str, object]] = {}
        # Returns the greenlet that runs, None where the program has none.
        self.greenlet: Any = None
        self._merging = originals.new_lock()

    def ignore_this_thread(self) -> None:
        """Record nothing of the calling thread."""
        self.local.tree = None
        self.current[originals.current_thread_id()] = self.ended

    def begin(self) -> None:
        """Take down which threads run: all others begin later."""
        self.initial = {ident: id(outermost(frame)) for ident, frame in innermost_frames()}
        self.started_ns = self.clock()

    def began_before(self, ident: int, frame: FrameType) -> bool:
        """Tell whether a thread without a tree ran already when the session began."""
        return ident not in self.current and self.initial.get(ident) == id(outermost(frame))

    def began_ns(self, native_id: int) -> int | None:
        """Return what the clock of a thread showed when the session began, None where nobody knows."""
        began_ns: int | None = self.started_ns if self.own_clocks is None else self.own_clocks.began_ns(native_id)
        return began_ns

    def child(self, parent: Node, key: object, what: object) -> Node | None:
        """Return a new child, None where the memory limit is reached."""
        if self.used_bytes + NODE_BYTES > self.max_bytes:
            return None
        self.used_bytes += NODE_BYTES
        if type(what) is not str and key not in self.codes:
            self.codes.add(key)  # type: ignore[arg-type]
            self.used_bytes += code_bytes(what)
        node = parent.children[key] = Node(parent, key, what)
        return node

    def leave_out(self, tree: ThreadTree) -> None:
        """Count a call that there is no room for, or one within such a call."""
        tree.skipped += 1
        tree.over.calls += 1
        self.lost_calls += 1

    def return_to(self, tree: ThreadTree, now_ns: int) -> None:
        """Count a return of what there is no room for: after the last the thread is where its node says."""
        tree.skipped -= 1
        if not tree.skipped:
            tree.over.self_ns += now_ns - tree.last_ns
            tree.last_ns = now_ns

    def timed(self, tree: ThreadTree, node: Node, began_ns: int) -> None:
        """Take down what a handler took since it read its clock; it ends here."""
        spent_ns = self.clock() - began_ns
        tree.timing = max(tree.timing - 1, 0)
        if 0 < spent_ns < _HELD_UP_NS:
            node.timed += 1
            node.timed_ns += spent_ns

    def begin_thread(self, frame: FrameType, now_ns: int, *, entering: bool = False) -> ThreadTree:
        """Start the tree of the calling thread, whose running frames are `frame` and its callers.

        Frames there that are older than the session are marked open; their time counts from its start on. While
        `entering`, `frame` is about to be entered and is none of them. The time of a thread that is younger counts from
        now, its first event, and no frame of it is older.
        """
        ident = originals.current_thread_id()
        if len(self.trees) > 2 * _ENDED_THREADS_KEPT:
            self._merge_ended()
        is_old = self.began_before(ident, frame)
        tree = ThreadTree(ident, thread_name(ident, frame), now_ns)
        if self.own_clocks is not None:
            tree.native_id = _thread.get_native_id()
        if is_old:
            began_ns = self.began_ns(tree.native_id)
            tree.last_ns = now_ns if began_ns is None else began_ns
        tree.node = self.descend(tree, frame.f_back if entering else frame, opened=int(is_old))
        self.trees.append(tree)
        self.current[ident] = tree
        self.local.tree = tree
        return tree

    def descend(self, tree: ThreadTree, frame: FrameType | None, opened: int) -> Node:
        """Return the node of a frame's stack in a tree, making what is missing, as far as there is room."""
        codes = []
        while frame is not None:
            if not self.choice(frame.f_code, frame):
                codes.append(frame.f_code)
            frame = frame.f_back
        node = tree.root
        tree.skipped = 0
        for depth, code in enumerate(reversed(codes)):
            key = id(code)
            below = node.children.get(key) or self.child(node, key, code)
            if below is None:
                tree.skipped = len(codes) - depth
                tree.over.opens += opened * tree.skipped
                break
            below.opens += opened
            node = below
        return node

    def follow(self, tree: ThreadTree, frame: FrameType | None, now_ns: int) -> None:
        """Place a thread anew where another greenlet runs in it than at its last event: its stack is another one."""
        running = id(self.greenlet())
        before, tree.greenlet = tree.greenlet, running
        if before not in (0, running):
            self._place_anew(tree, frame, now_ns)

    def _place_anew(self, tree: ThreadTree, frame: FrameType | None, now_ns: int) -> None:
        """Place a thread where it really is; the time until now is that of where it seemed to be."""
        tree.node.self_ns += now_ns - tree.last_ns
        tree.last_ns = now_ns
        tree.node = self.resynchronise(tree, frame)

    def caller(self, tree: ThreadTree, code: CodeType, frame: FrameType) -> Node:
        """Return the node of code that calls a C function, where that is not where its thread seems to be."""
        node = tree.node
        # A C function on top has ended, its return lost to an exception in a handler.
        while type(node.what) is str and not tree.skipped:
            node = tree.node = node.parent or tree.root
        if node.key != id(code) and not tree.skipped:
            # It runs on another stack than before: a greenlet has switched.
            self._place_anew(tree, frame, self.clock())
        return tree.node

    def resynchronise(self, tree: ThreadTree, frame: FrameType | None) -> Node:
        """Return the node where the thread really is, after an event that does not fit its shadow stack.

        Events can be missing: generators closed without PY_UNWIND on 3.13 and 3.14 (gh-140373), greenlet switches,
        an exception that a signal handler raised inside of a callback.
        """
        if self.greenlet is None:
            self.follow_greenlets()
        return self.descend(tree, frame, opened=0)

    def follow_greenlets(self) -> None:
        """Hear of switches, as soon as the program has greenlets."""
        self.greenlet = self.greenlet or greenlets(sys.modules).get("getcurrent")

    def resume(self, ident: int, frame: FrameType | None) -> None:
        """Go on with a thread that was not recorded for a while: nobody is credited with that time."""
        tree = self.current.get(ident)
        if tree is not None:
            now_ns = self.clock() if self.own_clocks is None else self.own_clocks.now_ns(tree.native_id)
            tree.last_ns = tree.last_ns if now_ns is None else now_ns
            tree.node = self.resynchronise(tree, frame)

    def table(self, now_ns: int, header: dict[str, Any]) -> bytes:
        """Return everything recorded until now as a bulk payload."""
        from execd_agent.collectors.calltable import CallTable  # noqa: PLC0415 - not needed before the first snapshot

        with self._merging:
            return CallTable(self, now_ns).encode(header)

    def free(self) -> None:
        """Let go of every node: parents and children hold each other until a collection, which is the target's to time.

        Called with all hooks off; what a thread that is inside of a handler still adds is lost with the rest.
        """
        pending = [tree.root for tree in self.trees] + [self.ended.root]
        while pending:
            node = pending.pop()
            pending.extend(list(node.children.values()))
            node.children.clear()

    def _merge_ended(self) -> None:
        # Two threads may come here at once; whichever is second has nothing to do.
        if not self._merging.acquire(False):
            return
        try:
            alive = thread_ids()
            ended = [tree for tree in self.trees if self.current.get(tree.ident) is not tree or tree.ident not in alive]
            for tree in ended[: len(ended) - _ENDED_THREADS_KEPT]:
                self._merge(tree.root, self.ended.root)
                _add(self.ended.over, tree.over)
                self.trees.remove(tree)
        finally:
            self._merging.release()

    def _merge(self, source: Node, target: Node) -> None:
        pending = [(source, target)]
        while pending:
            source, target = pending.pop()
            for key, node in source.children.items():
                mine = target.children.get(key)
                if mine is None:
                    mine = target.children[key] = Node(target, key, node.what)
                else:
                    self.used_bytes -= NODE_BYTES
                _add(mine, node)
                pending.append((node, mine))


def _add(target: Node, source: Node) -> None:
    target.calls += source.calls
    target.self_ns += source.self_ns
    target.opens += source.opens
    target.uncounted += source.uncounted
    target.timed += source.timed
    target.timed_ns += source.timed_ns


def _all(_code: CodeType, _frame: FrameType | None = None) -> int:
    """Stand for a choice where all is recorded: see filters.py."""
    return 0


def greenlets(modules: dict[str, Any]) -> dict[str, Any]:
    """Return what greenlet's C module has, of a process's modules; nothing where it is not loaded."""
    found: dict[str, Any] = getattr(modules.get("greenlet._greenlet"), "__dict__", {})
    return found


def outermost(frame: FrameType) -> FrameType:
    """Return the first frame of a frame's thread."""
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def code_bytes(code: Any) -> int:
    """Return about how much memory a code object takes with its tables: measured with functions made by exec."""
    return 400 + sys.getsizeof(code) + 2 * len(code.co_code) + 100 * len(code.co_consts)


def thread_name(ident: int, frame: FrameType | None) -> str:
    """Return the threading module's name of a thread, "" where it has none."""
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(ident)
    if thread is None:
        thread = _starting_thread(frame, getattr(threading, "__file__", None))
    name = getattr(thread, "_name", "")
    return name if isinstance(name, str) else ""


def _starting_thread(frame: FrameType | None, threading_file: Any) -> Any:
    """Return the Thread object of a thread that is about to enter itself into threading._active."""
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    if frame is None or frame.f_code.co_name != "_bootstrap" or frame.f_code.co_filename != threading_file:
        return None
    return frame.f_locals.get("self")


def native_id_of(ident: int) -> int:
    """Return the system's number of a thread as the threading module has it, 0 where it has none, or an old one.

    After a fork it may have the parent's number of the only thread.
    """
    number = _said_native_id(getattr(sys.modules.get("threading"), "_active", {}).get(ident))
    return number if number and cpu_ns_of(number) is not None else 0


def native_ids() -> dict[int, int]:
    """Return of all threads that run Python code the system's numbers as the threading module has them, or 0."""
    active = getattr(sys.modules.get("threading"), "_active", {})
    # One thread after the other is held here: the last to let go of one ends its objects.
    return {ident: _said_native_id(active.get(ident)) for ident in thread_ids()}


def _said_native_id(thread: Any) -> int:
    number = getattr(thread, "_native_id", None)
    return number if type(number) is int and 0 < number <= _MOST_NATIVE_ID else 0
