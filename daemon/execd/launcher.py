"""Launcher: starts a daemon in the background and ends one, seen from the outside.

No grpc here: a start forks, and gRPC's threads do not survive that. Whether a daemon serves is asked through
a function that is passed in.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from execd import instance, logs
from execd.errors import DaemonFailed, ExecdError, StoreFull, UnsafeDirectory, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from execd.config import Config

# Measured 0.5 s on an idle machine; a loaded one with a cold cache takes much longer.
START_TIMEOUT_S = 20.0
# How long one question for health may take; between two of them the child's end is looked at.
PROBE_S = 0.25
# The daemon's own deadline is 5 s.
STOP_TIMEOUT_S = 10.0
TAIL_LINES = 20
# What a daemon ends with that says itself why it cannot start; with any other it has failed.
REFUSALS: Mapping[int, type[ExecdError]] = MappingProxyType(
    {kind.exit_code: kind for kind in (UsageError, UnsafeDirectory, StoreFull)}
)


@dataclass(frozen=True, slots=True)
class Launched:
    """A daemon that serves.

    Attributes:
        pid: its process.
        is_new: this start made it; False where it ran already.
        quarantined: the files that it found damaged at its start, and moved to `Config.quarantine`.
    """

    pid: int
    is_new: bool
    quarantined: tuple[str, ...]


def start(config: Config, serving: Callable[[Path, float], int | None]) -> Launched:
    """Make sure that a daemon serves, and return once it does.

    Args:
        config: its places.
        serving: asks a socket for its health and waits up to so many seconds; the daemon's PID, or None.

    Raises:
        DaemonFailed: it ended, or did not serve within START_TIMEOUT_S; the message ends with the log's tail.
        ExecdError: it said itself why it cannot start.
        UnsafeDirectory: one of the directories is not private.
    """
    instance.check_before_start(config)
    before = quarantined(config)
    offset = logs.size(config.log)
    deadline = time.monotonic() + START_TIMEOUT_S
    child: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        # A child that ended well found another daemon; where that one is at its end, it is our turn again.
        if (child is None or child.poll() == 0) and instance.holder(config.socket_lock) is None:
            child = _spawn(config)
        if pid := serving(config.socket, PROBE_S):
            is_new = child is not None and child.pid == pid
            return Launched(pid, is_new, tuple(name for name in quarantined(config) if name not in before))
        if child is not None and child.poll():
            raise _refusal(config, offset, child.returncode)
    if child is not None and child.poll() is None:
        child.terminate()
    raise _failure(config, offset, f"execd does not serve after {START_TIMEOUT_S:.0f} s")


def quarantined(config: Config) -> tuple[str, ...]:
    """Return the names of the files in quarantine."""
    return tuple(sorted(path.name for path in config.quarantine.glob("*")))


def stop(config: Config) -> int | None:
    """End the daemon as SIGTERM does, and return when its process is gone.

    Returns:
        Its PID, or None where none ran.

    Raises:
        DaemonFailed: it is there still after STOP_TIMEOUT_S.
    """
    pid = instance.holder(config.socket_lock)
    if pid is None:
        return None
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return pid
    try:
        # Asked again: the PID may have gone to another process before the pidfd was open.
        if instance.holder(config.socket_lock) == pid:
            _end(process, pid)
    finally:
        os.close(process)
    return pid


def _end(process: int, pid: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGTERM)
        # One that is stopped would not see that.
        signal.pidfd_send_signal(process, signal.SIGCONT)
    poller = select.poll()
    poller.register(process, select.POLLIN)
    if not poller.poll(STOP_TIMEOUT_S * 1000):
        raise DaemonFailed(
            f"execd, PID {pid}, goes on {STOP_TIMEOUT_S:.0f} s after SIGTERM",
            remedy=f"kill -KILL {pid}: its targets disarm themselves, and the last checkpoints are stored",
            pid=pid,
        )


def _spawn(config: Config) -> subprocess.Popen[bytes]:
    # -P: `-m` alone would let the modules of the current directory come first.
    command = [sys.executable, "-P", "-m", "execd", "start", "--foreground"]
    command += ["--data-dir", os.fspath(config.data_dir), "--socket", os.fspath(config.socket)]
    command += [] if config.keep_days is None else ["--keep-days", repr(config.keep_days)]
    command += [] if config.keep_bytes is None else ["--keep-bytes", f"{config.keep_bytes / 1024!r}KB"]
    log = os.open(config.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command,
            # A daemon must not keep the file system busy that it happened to be started in.
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=True,
            start_new_session=True,
        )
    finally:
        os.close(log)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if places := environment.get("PYTHONPATH"):
        environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, places.split(os.pathsep)))
    return environment


def _refusal(config: Config, offset: int, status: int) -> ExecdError:
    """Return why a daemon ended at its start: in its own words, where it explained itself in the log."""
    try:
        told = json.loads(logs.tail(config.log, offset=offset, max_lines=1)[0])
        return REFUSALS.get(status, DaemonFailed)(told["message"], remedy=told["facts"]["remedy"], log=config.log)
    except (IndexError, ValueError, KeyError, TypeError):
        return _failure(config, offset, f"execd ended with exit code {status} at its start")


def _failure(config: Config, offset: int, what: str) -> DaemonFailed:
    lines = logs.tail(config.log, offset=offset, max_lines=TAIL_LINES)
    return DaemonFailed("\n".join([f"{what}; the end of its log, {config.log}:", *lines]), log=config.log)
