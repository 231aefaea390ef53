"""Reading: what a word after `read` or `add` means, brought into the daemon's store, where it stays as it is."""

from __future__ import annotations

import os
import re
import time
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

from execctl import importable, output
from execctl.browse.statistics import FORMAT, Source
from execctl.errors import NotFound
from execctl.query import ReportQuery

if TYPE_CHECKING:
    from execctl.client import Client

_IDENTIFIER = re.compile(r"[sp]?[0-9]+")
# Among so many of the newest profiles is one that was made just now.
_NEWEST = 100


class Reader:
    """Reads profiles and files; a file that is read again and has not changed is what it was."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._files: dict[tuple[str, int, int], str] = {}

    def read(self, word: str) -> Source:
        """Return the profile that a word names.

        Args:
            word: a file of pstats; or a profile, a session, a PID, a name, as everywhere.

        Raises:
            OSError: there is no such file, or it cannot be read.
            ClientError: there is no such profile, it is not of calls, or it is empty.
        """
        if not word or "/" in word or (not _IDENTIFIER.fullmatch(word) and Path(word).exists()):
            return self._file(word)
        try:
            found = self._client.render(ReportQuery(word, FORMAT, limit=("0",)))
        except NotFound as error:
            if "." in word:
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT), word) from error
            raise
        for sentence in found.notes:
            output.note(sentence)
        return Source(self._lasting(found.profile), "")

    def _file(self, word: str) -> Source:
        with open(word, "rb") as stream:  # noqa: PTH123 - a Path writes ./x as x in the error
            found = os.fstat(stream.fileno())
            data = importable.read(stream, word)
        path = os.path.realpath(word)
        key = (path, found.st_mtime_ns, found.st_size)
        if key not in self._files:
            (profile,) = self._client.import_contents([(importable.name_of(path), data)], "pstats")
            output.note(f"imported {word} as {profile.id}")
            self._files[key] = profile.id
        return Source(self._files[key], f"{time.ctime(found.st_mtime)}    {importable.name_of(word)}")

    def _lasting(self, profile: str) -> str:
        """Return a profile that stays: a checkpoint of a session that goes on gives its place to the next one."""
        stored = next((one for one in self._client.profiles(limit=_NEWEST) if one.id == profile), None)
        if stored is None or stored.reason != "checkpoint":
            return profile
        try:
            (snapshot,) = self._client.snapshot(stored.session)
        except NotFound:
            # It has ended: its last checkpoint is kept.
            return profile
        output.note(f"{stored.session} goes on: this is its snapshot {snapshot.id}")
        return snapshot.id
