"""Starts the daemon where none runs, by the command that a user would type, and says so."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from execctl.errors import NoDaemon

if TYPE_CHECKING:
    from collections.abc import Callable

# `execd start` returns once its health says SERVING, which takes well under a second.
START_TIMEOUT_S = 30.0
# Of what execd says of itself on stderr.
PREFIX = "execd: "


def start_daemon(socket: str, data_dir: str | None, tell: Callable[[str], object]) -> None:
    """Start execd and return when it serves.

    Args:
        socket: path of the socket that it shall serve on.
        data_dir: its data directory, or None for its own default.
        tell: is told what the user should know.

    Raises:
        NoDaemon: it did not start; the message holds the last thing that it said.
    """
    tell(f"no daemon runs: starting execd on {socket}")
    # -P: a folder `execd` where the user happens to stand must not be run.
    command = [sys.executable, "-P", "-m", "execd", "start", "--socket", socket]
    if data_dir:
        command += ["--data-dir", str(Path.cwd() / data_dir)]
    # A file, not a pipe: a pipe would be held open by the daemon that stays.
    with tempfile.TemporaryFile() as said:
        status = _run(command, said)
        said.seek(0)
        words = said.read().decode("utf-8", "backslashreplace").strip()
    if status != 0:
        raise _not_started(socket, status, words)
    for line in words.splitlines():
        # Beside "execd runs: ..." it tells what the user must know: of a store that was damaged.
        if line.startswith(PREFIX):
            tell(line.removeprefix(PREFIX))


def _run(command: list[str], said: IO[bytes]) -> int | None:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process:
        try:
            return process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return None


def _not_started(socket: str, status: int | None, words: str) -> NoDaemon:
    # What happened, then what to do: the two lines that every command of execd's ends with when it fails.
    reason, *remedies = words.removeprefix(PREFIX).splitlines() or ["it said nothing"]
    what = f"was not ready after {START_TIMEOUT_S:.0f} s" if status is None else f"ended with status {status}"
    return NoDaemon(
        f"execd {what}: {reason}",
        remedy=remedies[-1] if remedies else f"see what it says: execd start --foreground --socket {socket}",
        facts={"socket": socket, "output": words},
    )
