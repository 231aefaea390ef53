"""The structured log: one JSON object a line, rotated. Nothing that a target says can forge a line of it."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from execd.errors import ExecdError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

MAX_BYTES = 5 * 1024 * 1024
OLD_FILES = 3


class JsonLines(logging.Formatter):
    """Formats a record as one line of ASCII JSON, which escapes control characters and lone surrogates."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with its time (UTC), level, logger, message, facts and traceback."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # Set by `extra={"facts": {...}}`: a mapping from names to values that str() can show.
        if facts := record.__dict__.get("facts"):
            line["facts"] = facts
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class LogFile(RotatingFileHandler):
    """A rotated file that also takes what C code and a crash write to stdout and stderr.

    A daemon in the background has its stdio in this file; after a rotation the descriptors would point into
    the old file, and at last into a deleted one.
    """

    def doRollover(self) -> None:  # noqa: N802 - the stdlib's name
        """Rotate, and take stdio along where it was in the file."""
        followers = [fd for fd in (1, 2) if _is_file(fd, self.baseFilename)]
        super().doRollover()
        if self.stream is not None:
            for fd in followers:
                os.dup2(self.stream.fileno(), fd)


def open_log(path: Path) -> logging.Logger:
    """Send the records of all loggers from level INFO on to a file.

    Args:
        path: the file, made if need be.

    Returns:
        The logger "execd", the parent of those that the daemon's packages use.
    """
    handler = LogFile(path, maxBytes=MAX_BYTES, backupCount=OLD_FILES, encoding="ascii")
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return logging.getLogger("execd")


def thread_crash_logger(log: logging.Logger) -> Callable[[threading.ExceptHookArgs], None]:
    """Return a threading.excepthook that logs what ended a thread."""

    def log_crash(crash: threading.ExceptHookArgs) -> None:
        thread = crash.thread.name if crash.thread else ""
        error = crash.exc_value or crash.exc_type()
        log.error("a thread ended by an error", exc_info=error, extra={"facts": {"thread": thread}})

    return log_crash


def is_stderr(path: Path) -> bool:
    """Return whether this process's stderr is the log: it was started in the background."""
    return _is_file(2, os.fspath(path))


def write_failure(error: Exception) -> None:
    """Write a line on what kept the daemon from running, or from ending well, to a stderr that is the log."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    log = logging.getLogger("execd")
    log.addHandler(handler)
    if isinstance(error, ExecdError):
        log.error("%s", error.message, extra={"facts": {**error.facts, "remedy": error.remedy}})
    else:
        log.error("execd failed", exc_info=error)
    log.removeHandler(handler)


def close_log() -> None:
    """Take every handler off that `open_log` put there, and close its file."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        root.removeHandler(handler)
        handler.close()
    logging.captureWarnings(False)


def size(path: Path) -> int:
    """Return the length of a log in bytes, 0 where there is none yet."""
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, *, offset: int, max_lines: int) -> list[str]:
    """Return the last lines of a log, made fit for a terminal.

    Args:
        path: the log; a missing one has no lines.
        offset: where to start, bytes; a file that is shorter by now was rotated and is read from its start.
        max_lines: at most so many.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    recent = data[offset if offset <= len(data) else 0 :]
    return [_printable(line) for line in recent.decode("utf-8", "backslashreplace").splitlines()[-max_lines:]]


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _is_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), Path(path).stat())
    except OSError:
        # A closed descriptor, or a log that was moved away: nothing to take along.
        return False
