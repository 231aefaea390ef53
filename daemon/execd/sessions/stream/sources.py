"""Lines of source files as a running target sees them, for those who follow its trace."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress

from execd.errors import ExecdError
from execd.model.lines.text import read_text
from execd.sessions.sourcefiles import read_source

# A file of 100,000 lines takes half of it.
_MAX_FILE_BYTES = 8 << 20
# Of the files that are kept, together.
_KEPT_BYTES = 16 << 20


class TracedTexts:
    """The source files of one target, each read when a line of it is first wanted. For any thread.

    Args:
        pid: the target.

    Attributes:
        kept_bytes: how much of them is kept.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, tuple[str, ...]]] = OrderedDict()
        self.kept_bytes = 0

    def line(self, path: str, line: int) -> str:
        """Return a line, "" where there is none."""
        with self._lock:
            if path not in self._kept:
                self._keep(path)
            self._kept.move_to_end(path)
            lines = self._kept[path][1]
        return lines[line - 1] if 0 < line <= len(lines) else ""

    def _keep(self, path: str) -> None:
        size, lines = 0, tuple[str, ...]()
        with suppress(ExecdError):
            data = read_source(self._pid, path)
            if len(data) <= _MAX_FILE_BYTES:
                size, lines = len(data), read_text(data).lines
        # An entry of a file that cannot be read takes room too.
        size += len(path) + 500
        self._kept[path] = size, lines
        self.kept_bytes += size
        while self.kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, (gone, _) = self._kept.popitem(last=False)
            self.kept_bytes -= gone
