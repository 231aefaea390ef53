"""Programs: the target programs of tests/targets, started under an interpreter and spoken to line by line."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreters import Interpreter

SOURCES = Path(__file__).parent / "targets"
PERMIT_TRACING = Path(__file__).parent / "permit_tracing.py"
YAMA_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 20.0
CHUNK_BYTES = 65536


class ProgramError(AssertionError):
    """A target program did not do what its docstring says: it ended, or it did not answer in time."""


class Program:
    """A running target program.

    Attributes:
        interpreter: what it runs under.
        ready_text: what followed "ready" on its first line.
    """

    def __init__(self, interpreter: Interpreter, command: list[str], stderr_path: Path, env: Mapping[str, str]) -> None:
        self.interpreter = interpreter
        self.ready_text = ""
        self._stderr_path = stderr_path
        self._pending = b""
        with stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env, bufsize=0
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its PID, which is the interpreter's own in another root too."""
        return self._process.pid

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Waits for its first line.

        Args:
            timeout_s: how long it may take to start.

        Raises:
            ProgramError: it ended, said something else, or was silent.
        """
        first, _, self.ready_text = self.read_line(timeout_s).partition(" ")
        if first != "ready":
            raise ProgramError(f"the program began with {first!r}, not with 'ready'")

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait(self, timeout_s: float = ANSWER_TIMEOUT_S) -> int:
        """Waits for its end.

        Args:
            timeout_s: how long that may take.

        Returns:
            Its exit code, the negative signal number where a signal ended it.
        """
        return self._process.wait(timeout_s)

    def tell(self, command: str) -> None:
        """Sends a command and does not wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode("ascii") + b"\n")

    def ask(self, command: str, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
        """Sends a command and waits for its answer.

        Args:
            command: one of those in the program's docstring.
            timeout_s: how long the answer may take.

        Returns:
            The line that answers, JSON in most programs.

        Raises:
            ProgramError: the program ended or was silent.
        """
        self.tell(command)
        return self.read_line(timeout_s)

    def ask_json(self, command: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """Like `ask`, with the answer decoded."""
        return json.loads(self.ask(command, timeout_s))

    def read_line(self, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
        """Waits for the next line of its stdout.

        Args:
            timeout_s: how long it may be silent.

        Returns:
            The line without its end.

        Raises:
            ProgramError: the program ended or was silent.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            self._pending += self._read_chunk(deadline)
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "surrogateescape")

    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._stderr_path.read_text("utf-8", "surrogateescape")

    def kill(self) -> None:
        """Ends it with SIGKILL, whatever state it is in, and waits for its end."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends it, and gives back its pipes."""
        self.kill()
        self.close_pipes()

    def close_pipes(self) -> None:
        """Closes our ends of its stdin and stdout, as our death would."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read_chunk(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        remaining_s = deadline - time.monotonic()
        readable, _, _ = select.select([self._process.stdout], [], [], max(remaining_s, 0.0))
        if not readable:
            raise ProgramError(f"PID {self.pid} said nothing in time; stderr: {self.stderr()!r}")
        chunk = os.read(self._process.stdout.fileno(), CHUNK_BYTES)
        if not chunk:
            raise ProgramError(f"PID {self.pid} closed its stdout; stderr: {self.stderr()!r}")
        return chunk


class ProgramFolders:
    """Where the target programs lie for each interpreter: copied where its root does not hold them."""

    def __init__(self) -> None:
        self._copies: dict[str, Path] = {}

    def command(self, interpreter: Interpreter, program: str, arguments: tuple[str, ...]) -> list[str]:
        """The command line that starts a program.

        Args:
            interpreter: what it runs under, isolated (-I) and writing no bytecode (-B).
            program: its name in tests/targets, without ".py".
            arguments: the program's own.

        Returns:
            The command line, through a launcher where the kernel would let only ancestors trace it.
        """
        path = interpreter.inside(self._folder(interpreter) / f"{program}.py")
        return [*tracing_permit(), *interpreter.argv, "-I", "-B", path, *arguments]

    def remove(self) -> None:
        """Removes the copies."""
        for copy in self._copies.values():
            shutil.rmtree(copy)
        self._copies.clear()

    def _folder(self, interpreter: Interpreter) -> Path:
        if not interpreter.root:
            return SOURCES
        if interpreter.root not in self._copies:
            copy = Path(interpreter.root) / f"tmp/execd-tests-{os.getpid()}"
            shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
            self._copies[interpreter.root] = copy
        return self._copies[interpreter.root]


def tracing_permit() -> tuple[str, ...]:
    """What a command line begins with so that a process that is no ancestor may trace the program."""
    if os.geteuid() == 0 or not YAMA_SCOPE.exists() or YAMA_SCOPE.read_text().strip() != "1":
        return ()
    return (sys.executable, "-I", str(PERMIT_TRACING))
