"""The sources of what runs in a target: read where the target sees them, and kept, with the lines that can run.

A file is read when it is first seen to run, by a thread that lives while there is work: neither a disk nor the target's
compiler holds up a session. What was not done by the time that a profile is stored stands in it as a problem.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from execd.errors import ExecdError, TargetGone
from execd.model.lines.listing import counts_by_file, is_file
from execd.model.source import UNCOMPILED, UNREAD, SourceFile
from execd.sessions.sourcefiles import Unreadable, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from execd.model.profile import Profile
    from execd.sessions.compiling import Compiler
    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")
_WITH_LINES = frozenset({"lines", "cover"})
_WITH_TEXT = _WITH_LINES | {"memory", "trace"}
# A program has some thousands of modules; one that makes file names up must not fill the daemon.
_MAX_FILES = 20_000
# What is not kept again within 30 days is taken for unused.
_KEEP_AGAIN_S = 86_400.0


class TargetSources:
    """What is known of the files of one target.

    Args:
        pid: of the target.
        store: keeps what is read.
        compiler: says which lines can run.
    """

    def __init__(self, pid: int, store: Store, compiler: Compiler) -> None:
        self._pid, self._store, self._compiler = pid, store, compiler
        self._changed = threading.Condition()
        self._files: dict[str, SourceFile] = {}
        # What has ever stood in the queue of that name: a file is read once.
        self._wanted: set[str] = set()
        self._lines_wanted: set[str] = set()
        # Of these those that the target had no answer for; who waits for a profile has them asked for again.
        self._asked_in_vain: set[str] = set()
        self._to_read: deque[Callable[[], None]] = deque()
        self._to_compile: deque[Callable[[], None]] = deque()
        self._keep_again_at = time.monotonic() + _KEEP_AGAIN_S
        self._worker: threading.Thread | None = None
        self._closed = False

    def add_to(self, profile: Profile, patience_s: float) -> Profile:
        """Return a profile with what is known of its files, where its reports need that.

        Args:
            profile: just taken.
            patience_s: how long to wait for what is not known yet.
        """
        header = profile.header
        if header.collector not in _WITH_TEXT and header.options.get("sources") is not True:
            return profile
        paths = _paths(profile)
        with_lines = header.collector in _WITH_LINES
        if patience_s > 0:
            self._ask_again()
        self._want(paths, with_lines=with_lines)
        self._settle(() if with_lines else paths, time.monotonic() + patience_s)
        files = [self._found(path) for path in paths]
        return replace(profile, files=tuple(self._lined(profile, files) if with_lines else files))

    def hurry(self) -> None:
        """Take all of the target's time from now on: it has nothing else to do."""
        self._compiler.hurry()

    def close(self) -> None:
        """End the work: the target is let go of."""
        with self._changed:
            self._closed = True
            self._to_read.clear()
            self._to_compile.clear()
            self._changed.notify_all()
        self._compiler.close()

    def _ask_again(self) -> None:
        with self._changed:
            self._lines_wanted -= self._asked_in_vain
            self._asked_in_vain.clear()

    def _want(self, paths: Iterable[str], *, with_lines: bool) -> None:
        with self._changed:
            if self._closed:
                return
            for path in paths:
                if path not in self._wanted and len(self._wanted) < _MAX_FILES:
                    self._wanted.add(path)
                    self._to_read.append(partial(self._read, path))
                if with_lines and path in self._wanted and path not in self._lines_wanted:
                    self._lines_wanted.add(path)
                    self._queue_lines(self._files.get(path))
            if time.monotonic() > self._keep_again_at:
                self._keep_again_at = time.monotonic() + _KEEP_AGAIN_S
                self._to_read += [partial(self._keep_again, file) for file in self._files.values() if file.digest]
            if self._worker is None and (self._to_read or self._to_compile):
                self._worker = threading.Thread(target=self._work, name="execd-sources", daemon=True)
                self._worker.start()

    def _queue_lines(self, file: SourceFile | None) -> None:
        if file is not None and file.digest:
            self._to_compile.append(partial(self._compile, file))

    def _settle(self, read: Collection[str], deadline: float) -> None:
        """Wait until these files are read, or, where none are named, until all is done."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._worker is None or (read and self._files.keys() >= set(read)),
                max(deadline - time.monotonic(), 0),
            )

    def _found(self, path: str) -> SourceFile:
        with self._changed:
            return self._files.get(path) or SourceFile(path, "", (), UNREAD)

    def _lined(self, profile: Profile, files: list[SourceFile]) -> list[SourceFile]:
        hits = counts_by_file(profile)
        functions: dict[str, set[tuple[str, int]]] = {}
        for one in profile.functions:
            functions.setdefault(one.file, set()).add((one.name, one.first_line))
        return [self._with_lines(file, functions.get(file.path, set()), hits.get(file.path, {})) for file in files]

    def _with_lines(
        self, file: SourceFile, functions: Collection[tuple[str, int]], hits: Collection[int]
    ) -> SourceFile:
        if not file.digest:
            return file
        found = self._compiler.known(file.digest)
        if found is None:
            return replace(file, problem=UNCOMPILED)
        judged = hits if self._compiler.has_every_line else ()
        return replace(file, lines=found.counted(), problem=found.problem or found.mismatch(functions, judged))

    def _work(self) -> None:
        """Read all, then compile; the sooner a text is read the surer it is that of the code."""
        while True:
            with self._changed:
                if not (self._to_read or self._to_compile):
                    self._worker = None
                    self._changed.notify_all()
                    return
                task = self._to_read.popleft() if self._to_read else self._to_compile.popleft()
            try:
                task()
            except TargetGone:
                self.close()
            except Exception:  # noqa: BLE001 - it is logged, and the other files are done
                _LOG.exception("a source was not read", extra={"facts": {"pid": self._pid}})

    def _read(self, path: str) -> None:
        try:
            file = SourceFile(path, self._store.add_source(read_source(self._pid, path)), ())
        except Unreadable as error:
            file = SourceFile(path, "", (), error.message)
        except ExecdError as error:
            file = SourceFile(path, "", (), f"could not be kept: {error.message}")
        with self._changed:
            self._files[path] = file
            if path in self._lines_wanted:
                self._queue_lines(file)
            if not self._to_read:
                self._changed.notify_all()

    def _compile(self, file: SourceFile) -> None:
        text = self._store.source(file.digest)
        if text is None or self._compiler.has_said(file.digest):
            return
        self._compiler.compile(file.path, text, file.digest)
        if not self._compiler.has_said(file.digest):
            with self._changed:
                self._asked_in_vain.add(file.path)

    def _keep_again(self, file: SourceFile) -> None:
        text = self._store.source(file.digest)
        if text is not None:
            self._store.add_source(text)


def _paths(profile: Profile) -> list[str]:
    used = dict.fromkeys(profile.functions[location.function].file for location in profile.locations)
    return [path for path in used if is_file(path)]
