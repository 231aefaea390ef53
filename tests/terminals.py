"""Terminals: a shell in tmux, whose screen is read as a person sees it."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# What is waited for; no figure depends on how long that takes.
LIMIT_S = 60.0


def require_tmux() -> None:
    """Skips a test where there is no tmux, or fails it where everything is required."""
    if shutil.which("tmux") is not None:
        return
    if os.environ.get("EXECD_REQUIRE_PYTHONS"):
        pytest.fail("tmux is required and missing")
    pytest.skip("no tmux on this machine")


class Terminal:
    """A terminal of a size, and a shell in it; a context manager.

    Attributes:
        shell_pid: the shell.

    Args:
        columns: of it.
        rows: of it.
        folder: for files of its own.
        env: of the shell, beside that of the tests.
    """

    def __init__(self, columns: int, rows: int, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self._name = f"execd-tests-{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = folder
        # The prompt tells that a command has ended, and how.
        given = {"PS1": "ended $? > ", "LC_ALL": "C.UTF-8", **(env or {})}
        words = [f"{name}={value}" for name, value in given.items()]
        shell = shlex.join(["env", *words, "bash", "--norc", "--noprofile", "-i"])
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux("-u", "-f", os.devnull, "new-session", "-d", "-s", "it", *size, shell)
        self._pid = int(self._tmux("display-message", "-p", "-t", "it", "#{pid}"))
        self.shell_pid = int(self._tmux("display-message", "-p", "-t", "it", "#{pane_pid}"))

    def __enter__(self) -> Self:
        self.wait_for(lambda text: "ended 0 >" in text)
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")
        assert becomes(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (self._pid, self.shell_pid)), LIMIT_S)

    @property
    def is_alternate(self) -> bool:
        """Whether a program has a screen of its own."""
        return self._tmux("display-message", "-p", "-t", "it", "#{alternate_on}") == "1"

    @property
    def title(self) -> str:
        """What it is called."""
        return self._tmux("display-message", "-p", "-t", "it", "#{pane_title}")

    def screen(self) -> str:
        """What is on it now."""
        return self._tmux("capture-pane", "-p", "-t", "it")

    def type(self, *keys: str) -> None:
        """Presses keys, by tmux's names."""
        self._tmux("send-keys", "-t", "it", *keys)

    def write(self, text: str) -> None:
        """Types a text."""
        self._tmux("send-keys", "-t", "it", "-l", text)

    def run(self, words: Sequence[str]) -> None:
        """Types a command line, from a file for it is long, with the settings of the terminal before and after it."""
        script = self._folder / "command"
        settings = [shlex.quote(os.fspath(self._folder / name)) for name in ("before", "after")]
        script.write_text(
            f"stty -g > {settings[0]}\n{shlex.join(words)}\ncode=$?\nstty -g > {settings[1]}\n(exit $code)\n"
        )
        self.write(f"clear; . {shlex.quote(os.fspath(script))}")
        self.type("Enter")

    def resize(self, columns: int, rows: int) -> None:
        """Makes it larger or smaller."""
        self._tmux("resize-window", "-t", "it", "-x", str(columns), "-y", str(rows))

    def wait_for(self, condition: Callable[[str], bool]) -> str:
        """Waits until the screen is like this, and returns it."""
        last = ""

        def is_so() -> bool:
            nonlocal last
            last = self.screen()
            return condition(last)

        assert becomes(is_so, LIMIT_S), last
        return last

    def ended(self, code: int) -> str:
        """Waits for the end of the command, with this code; the terminal is as it was before. Returns its screen."""
        found = self.wait_for(lambda text: f"ended {code} >" in text)
        assert not self.is_alternate
        before, after = ((self._folder / name).read_text() for name in ("before", "after"))
        assert before == after != ""
        return found

    def _tmux(self, *words: str) -> str:
        # One server for each terminal: its end is the end of all that is in it.
        done = subprocess.run(
            ["tmux", "-L", self._name, *words], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.removesuffix("\n")
