"""The table of a call tree. Loaded at the first snapshot."""

from __future__ import annotations

import sys

from execd_agent.collectors.calltree import Node, ThreadTree, native_id_of, thread_name
from execd_agent.collectors.selection import OWN_CODE
from execd_agent.collectors.table import Table
from execd_agent.frames import innermost_frame, thread_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from execd_agent.collectors.calltree import CallTree


class CallTable:
    """The table form of a call tree: nodes in an order in which parents stand before their children.

    Args:
        calls: the tree.
        now_ns: what a clock shows now that all threads have in common.
    """

    def __init__(self, calls: CallTree, now_ns: int) -> None:
        self._table = Table(("calls", "self_ns", "open", "uncounted", "timed", "timed_ns"))
        self._now_ns = now_ns
        idents = thread_ids()
        for tree in list(calls.trees):
            alive = calls.current.get(tree.ident) is tree and tree.ident in idents
            # Threads go on while this is made: some have an event that is younger than `now_ns`.
            pending_ns = self._since_ns(calls, tree.last_ns, tree.native_id) if alive else 0
            self._add_tree(tree, pending_ns)
        self._add_tree(calls.ended, 0)
        for ident in idents.difference(calls.current):
            frame = innermost_frame(ident)
            if frame is not None:
                self._add_silent_thread(calls, ident, frame)

    def encode(self, header: dict[str, Any]) -> bytes:
        """Return the bulk payload."""
        return self._table.encode(header)

    def _since_ns(self, calls: CallTree, then_ns: int | None, native_id: int) -> int:
        """Return what a thread's clock has gone on since it showed `then_ns`; nothing where nobody knows."""
        now_ns = self._now_ns if calls.own_clocks is None else calls.own_clocks.now_ns(native_id)
        return 0 if now_ns is None or then_ns is None else max(now_ns - then_ns, 0)

    def _add_silent_thread(self, calls: CallTree, ident: int, frame: FrameType) -> None:
        """Add a thread that has had no event: all its frames are open, and the time is the innermost one's.

        One that began later, and was not noticed yet, has neither: since when it waits is not known.
        """
        is_old = calls.began_before(ident, frame)
        tree = ThreadTree(ident, thread_name(ident, frame), calls.started_ns)
        used_bytes = calls.used_bytes
        tree.node = calls.descend(tree, frame, opened=int(is_old))
        calls.used_bytes = used_bytes
        native_id = 0 if calls.own_clocks is None else native_id_of(ident)
        since_ns = self._since_ns(calls, calls.began_ns(native_id), native_id) if is_old else 0
        self._add_tree(tree, since_ns)

    def _add_tree(self, tree: ThreadTree, pending_ns: int) -> None:
        """Add a thread's nodes; `pending_ns` is what its current node has had since the last event."""
        current, over = tree.over if tree.skipped else tree.node, tree.over
        tops = [*tree.root.children.values(), *([over] if over.calls or over.opens else [])]
        if not tops:
            return
        table = self._table
        label = table.label(tree.ident, _live_name(tree))
        pending = [(node, -1) for node in tops if not _is_own(node)]
        while pending:
            node, parent = pending.pop()
            what: Any = node.what
            function = table.c_function(what) if isinstance(what, str) else table.code(what)
            self_ns = node.self_ns + (pending_ns if node is current else 0)
            figures = (node.calls, self_ns, node.opens, node.uncounted, node.timed, node.timed_ns)
            index = table.add(parent, table.location(function), label, figures)
            # A program's thread runs some of ours where it forks, and where it ends.
            pending.extend([(child, index) for child in list(node.children.values()) if not _is_own(child)])


def _is_own(node: Node) -> bool:
    """Tell what the interpreter calls of ours in a thread of the program's: at the end of one that we started."""
    return getattr(node.what, "co_filename", "").startswith(OWN_CODE)


def _live_name(tree: ThreadTree) -> str:
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(tree.ident)
    name = getattr(thread, "_name", None)
    if name == tree.name or not isinstance(name, str):
        return tree.name
    # The identifier may belong to a younger thread by now; a name that was known stays.
    return tree.name or name
