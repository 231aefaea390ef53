"""The table form of a call tree, as it goes over the wire; see PROTOCOL.md, "table of calls".

Loaded at the first snapshot, not at the attach: what is compiled there holds up the target. Numbers are packed by
`_struct`, which imports nothing; the array module imports collections.abc at its start (3.10+), by the program's own
`__import__`, from wherever sys.path leads.
"""

from __future__ import annotations

import sys

from execd_agent import compat, wire
from execd_agent.collectors.calltree import Node, ThreadTree, thread_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.calltree import CallTree


class CallTable:
    """The table form of a call tree: nodes in an order in which parents stand before their children."""

    def __init__(self, calls: CallTree, now_ns: int) -> None:
        self.texts: dict[str, int] = {}
        self.functions: dict[object, int] = {}
        self.function_rows: list[int] = []
        self.labels: list[dict[str, Any]] = []
        self.columns: dict[str, list[int]] = {name: [] for name in ("calls", "self_ns", "open")}
        self.parents: list[int] = []
        self.locations: list[int] = []
        self.node_labels: list[int] = []
        frames = sys._current_frames()
        for tree in list(calls.trees):
            alive = calls.current.get(tree.ident) is tree and tree.ident in frames
            # Threads go on while this is made: some have an event that is younger than `now_ns`.
            pending_ns = max(now_ns - tree.last_ns, 0) if alive else 0
            self.add_tree(tree, tree.node, pending_ns)
        self.add_tree(calls.ended, calls.ended.root, 0)
        for ident, frame in frames.items():
            if ident not in calls.current:
                self.add_silent_thread(calls, ident, frame, now_ns)

    def add_silent_thread(self, calls: CallTree, ident: int, frame: FrameType, now_ns: int) -> None:
        """Add a thread that has had no event: all its frames are open, and the time is the innermost one's.

        One that began later, and was not noticed yet, has neither: since when it waits is not known.
        """
        is_old = calls.began_before(ident, frame)
        tree = ThreadTree(ident, thread_name(ident, frame), calls.started_ns)
        used_bytes = calls.used_bytes
        node = calls.descend(tree.root, frame, opened=int(is_old))
        calls.used_bytes = used_bytes
        self.add_tree(tree, node, now_ns - calls.started_ns if is_old else 0)

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
            ("text_lengths", "i4", _packed("i", [len(text) for text in encoded])),
            ("functions", "i4", _packed("i", self.function_rows)),
            ("parents", "i4", _packed("i", self.parents)),
            ("node_functions", "i4", _packed("i", self.locations)),
            ("node_labels", "i4", _packed("i", self.node_labels)),
        ]
        arrays += [(name, "i8", _packed("q", values)) for name, values in self.columns.items()]
        return wire.encode_table({**header, "labels": self.labels}, arrays)


def _packed(kind: str, values: list[int]) -> bytes:
    size = 4 if kind == "i" else 8
    try:
        import _struct  # noqa: PLC0415 - a target that runs as another user may not be able to read it
    except ImportError:
        return b"".join([value.to_bytes(size, "little", signed=True) for value in values])
    return _struct.pack("<%d%s" % (len(values), kind), *values)


def _live_name(tree: ThreadTree) -> str:
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(tree.ident)
    name = getattr(thread, "_name", None)
    if name == tree.name or not isinstance(name, str):
        return tree.name
    # The identifier may belong to a younger thread by now; a name that was known stays.
    return tree.name or name
