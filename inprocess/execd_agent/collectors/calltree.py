"""The call tree of the calls collector: nodes, one tree a thread, and its table form for the wire.

The shadow stack of a thread is the path from its current node to the root, so a push is a step to a child and a pop a
step to the parent. Time is credited at every event to the node that was current since the last one; total times are
folds of it and need no bookkeeping here. All of this runs under the GIL, a thread's nodes are written by it alone.
"""

from __future__ import annotations

import sys
from array import array

from execd_agent import compat, originals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

# Ended threads whose trees are kept apart; beyond it they are merged into one, or a server with a thread a request
# would fill the memory limit.
_ENDED_THREADS_KEPT = 64
# A node with its dict entry and counters, measured with sys.getsizeof on 3.9 to 3.15.
NODE_BYTES = 400


class Node:
    """A function called along one path. `what` is its code object, or the name that cProfile prints of a C function."""

    __slots__ = ("calls", "children", "key", "opens", "parent", "self_ns", "what")

    def __init__(self, parent: Node | None, key: object, what: object) -> None:
        self.parent = parent
        self.key = key
        self.what = what
        self.children: dict[object, Node] = {}
        self.calls = 0
        self.self_ns = 0
        self.opens = 0


class ThreadTree:
    """What was recorded of one thread.

    `node` is the current node, `last_ns` the clock at the thread's last event, `skipped` how many calls deep it is
    inside of what the memory limit left out.
    """

    __slots__ = ("ident", "last_ns", "name", "node", "root", "skipped")

    def __init__(self, ident: int, name: str, now_ns: int) -> None:
        self.ident = ident
        self.name = name
        self.root = self.node = Node(None, None, None)
        self.last_ns = now_ns
        self.skipped = 0


class CallTree:
    """All threads' trees of one session."""

    def __init__(self, clock: Any, max_bytes: int) -> None:
        self.clock = clock
        self.started_ns = clock()
        self.local = originals.thread_local()
        self.trees: list[ThreadTree] = []
        self.current: dict[int, ThreadTree] = {}
        self.ended = ThreadTree(0, "(ended threads)", self.started_ns)
        self.node_limit = max_bytes // NODE_BYTES
        self.node_count = 0
        self.lost_calls = 0
        # C functions met so far: (printed name, the function itself, kept so that its id stays its own).
        self.c_functions: dict[object, tuple[str, object]] = {}
        self._merging = originals.new_lock()

    def ignore_this_thread(self) -> None:
        """Record nothing of the calling thread."""
        self.local.tree = None
        self.current[originals.current_thread_id()] = self.ended

    def child(self, parent: Node, key: object, what: object) -> Node | None:
        """Return a new child, None where the memory limit is reached."""
        if self.node_count >= self.node_limit:
            return None
        self.node_count += 1
        node = parent.children[key] = Node(parent, key, what)
        return node

    def begin_thread(self, frame: FrameType | None) -> ThreadTree:
        """Start the tree of the calling thread, whose running frames are `frame` and its callers.

        Frames there that are older than the session are marked open; their time counts from its start on.
        """
        ident = originals.current_thread_id()
        if len(self.trees) > 2 * _ENDED_THREADS_KEPT:
            self._merge_ended()
        tree = ThreadTree(ident, thread_name(ident, frame), self.started_ns)
        tree.node = self.descend(tree.root, frame, opened=1)
        self.trees.append(tree)
        self.current[ident] = tree
        self.local.tree = tree
        return tree

    def descend(self, root: Node, frame: FrameType | None, opened: int) -> Node:
        """Return the node of a frame's stack below `root`, making what is missing."""
        codes = []
        while frame is not None:
            codes.append(frame.f_code)
            frame = frame.f_back
        node = root
        for code in reversed(codes):
            key = id(code)
            below = node.children.get(key) or self.child(node, key, code)
            if below is None:
                break
            below.opens += opened
            node = below
        return node

    def resynchronise(self, tree: ThreadTree, frame: FrameType | None) -> Node:
        """Return the node where the thread really is, after an event that does not fit its shadow stack.

        Events can be missing: generators closed without PY_UNWIND on 3.13 and 3.14 (gh-140373), greenlet switches,
        an exception that a signal handler raised inside of a callback.
        """
        tree.skipped = 0
        return self.descend(tree.root, frame, opened=0)

    def table(self, now_ns: int, header: dict[str, Any]) -> bytes:
        """Return everything recorded until now as a bulk payload; see PROTOCOL.md, "table of calls"."""
        with self._merging:
            return _Table(self, now_ns).encode(header)

    def _merge_ended(self) -> None:
        # Two threads may come here at once; whichever is second has nothing to do.
        if not self._merging.acquire(False):
            return
        try:
            alive = sys._current_frames()
            ended = [tree for tree in self.trees if self.current.get(tree.ident) is not tree or tree.ident not in alive]
            for tree in ended[: len(ended) - _ENDED_THREADS_KEPT]:
                self._merge(tree.root, self.ended.root)
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
                    self.node_count -= 1
                mine.calls += node.calls
                mine.self_ns += node.self_ns
                mine.opens += node.opens
                pending.append((node, mine))


class _Table:
    """The table form of a call tree: nodes in an order in which parents stand before their children."""

    def __init__(self, calls: CallTree, now_ns: int) -> None:
        self.texts: dict[str, int] = {}
        self.functions: dict[object, int] = {}
        self.function_rows = array("i")
        self.labels: list[dict[str, Any]] = []
        self.columns = {name: array("q") for name in ("calls", "self_ns", "open")}
        self.parents, self.locations, self.node_labels = array("i"), array("i"), array("i")
        frames = sys._current_frames()
        for tree in list(calls.trees):
            alive = calls.current.get(tree.ident) is tree and tree.ident in frames
            pending_ns = now_ns - tree.last_ns if alive else 0
            self.add_tree(tree, tree.node, pending_ns)
        self.add_tree(calls.ended, calls.ended.root, 0)
        for ident, frame in frames.items():
            if ident not in calls.current:
                self.add_silent_thread(calls, ident, frame, now_ns)

    def add_silent_thread(self, calls: CallTree, ident: int, frame: FrameType, now_ns: int) -> None:
        """Add a thread that has had no event: all its frames are open, and the time is the innermost one's."""
        tree = ThreadTree(ident, thread_name(ident, frame), calls.started_ns)
        count = calls.node_count
        node = calls.descend(tree.root, frame, opened=1)
        calls.node_count = count
        self.add_tree(tree, node, now_ns - calls.started_ns)

    def add_tree(self, tree: ThreadTree, current: Node, pending_ns: int) -> None:
        """Add a thread's nodes; `pending_ns` is what its current node has had since the last event."""
        if not tree.root.children:
            return
        label = len(self.labels)
        self.labels.append({"thread_id": tree.ident, "thread_name": _live_name(tree)})
        calls, self_ns, opens = self.columns["calls"], self.columns["self_ns"], self.columns["open"]
        pending = [(node, -1) for node in list(tree.root.children.values())]
        while pending:
            node, parent = pending.pop()
            index = len(self.parents)
            self.parents.append(parent)
            self.locations.append(self.function(node))
            self.node_labels.append(label)
            calls.append(node.calls)
            self_ns.append(node.self_ns + (pending_ns if node is current else 0))
            opens.append(node.opens)
            pending.extend([(child, index) for child in list(node.children.values())])

    def function(self, node: Node) -> int:
        """Return the row of a node's function."""
        key = node.what if isinstance(node.what, str) else id(node.what)
        row = self.functions.get(key)
        if row is None:
            row = self.functions[key] = len(self.functions)
            self.function_rows.extend(self.describe(node.what))
        return row

    def describe(self, what: Any) -> tuple[int, int, int, int]:
        """Return (name, qualname, file, first line), the texts as their numbers."""
        if isinstance(what, str):
            name = self.text(what)
            return name, name, self.text("~"), 0
        qualname = what.co_qualname if compat.HAS_QUALNAME else what.co_name
        return self.text(what.co_name), self.text(qualname), self.text(what.co_filename), what.co_firstlineno

    def text(self, text: str) -> int:
        """Return the number of a text."""
        return self.texts.setdefault(text, len(self.texts))

    def encode(self, header: dict[str, Any]) -> bytes:
        """Return the bulk payload."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in self.texts]
        arrays = [
            ("text_bytes", "u1", b"".join(encoded)),
            ("text_lengths", "i4", array("i", map(len, encoded)).tobytes()),
            ("functions", "i4", self.function_rows.tobytes()),
            ("parents", "i4", self.parents.tobytes()),
            ("node_functions", "i4", self.locations.tobytes()),
            ("node_labels", "i4", self.node_labels.tobytes()),
        ]
        arrays += [(name, "i8", values.tobytes()) for name, values in self.columns.items()]
        return wire.encode_table({**header, "labels": self.labels}, arrays)


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


def _live_name(tree: ThreadTree) -> str:
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(tree.ident)
    name = getattr(thread, "_name", None)
    if name == tree.name or not isinstance(name, str):
        return tree.name
    # The identifier may belong to a younger thread by now; a name that was known stays.
    return tree.name or name
