"""The text of source lines, as it was when the profile was stored."""

from __future__ import annotations

import io
import tokenize
from typing import TYPE_CHECKING

from execd.reports.escape import visible

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions


class SourceLines:
    """Lines of the files of a profile; "" for what is not there.

    Args:
        profile: whose files.
        options: where the store is asked for their bytes.
    """

    def __init__(self, profile: Profile, options: ReportOptions) -> None:
        self._digests = {file.path: file.digest for file in profile.files}
        self._source = options.source
        self._lines: dict[str, list[str]] = {}

    def text(self, file: str, line: int) -> str:
        """Return a line without the blanks around it, safe to show."""
        if file not in self._lines:
            self._lines[file] = self._read(file)
        lines = self._lines[file]
        return visible(lines[line - 1].strip().replace("\t", " ")) if 0 < line <= len(lines) else ""

    def _read(self, file: str) -> list[str]:
        digest = self._digests.get(file, "")
        data = self._source(digest) if digest else None
        if data is None:
            return []
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return io.TextIOWrapper(io.BytesIO(data), encoding).readlines()
        except (SyntaxError, ValueError, LookupError):
            return []
