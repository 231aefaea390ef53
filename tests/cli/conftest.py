"""Fixtures of the tests of execctl: a fake daemon, and execctl run in this process or as one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from cli.fake_daemon import FakeDaemon
from click.testing import CliRunner, Result
from execctl.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


class Run(Protocol):
    """Runs execctl in this process against the fake daemon."""

    def __call__(self, *arguments: str) -> Result:
        """Run it with these arguments."""


class Start(Protocol):
    """Starts execctl as a process of its own; the test's end kills it."""

    def __call__(
        self, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start it with these arguments."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """A daemon that serves on a socket of its own."""
    with FakeDaemon(tmp_path / "d.sock") as running:
        yield running


@pytest.fixture
def run(daemon: FakeDaemon) -> Run:
    """Execctl in this process."""

    def invoke(*arguments: str) -> Result:
        command = ["--no-start", "--socket", str(daemon.socket), *arguments]
        return CliRunner().invoke(cli, command, catch_exceptions=False)

    return invoke


@pytest.fixture
def process_environment() -> dict[str, str]:
    """The environment of an execctl that is a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXECD_S")}
    return kept | {"PYTHONPATH": f"{ROOT / 'client'}:{ROOT / 'proto'}"}


@pytest.fixture
def start(process_environment: dict[str, str]) -> Iterator[Start]:
    """Execctl as a process of its own."""
    with ExitStack() as running:
        # A job in the background has SIGINT ignored, and so would what it starts: a handler is not inherited.
        running.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))

        def popen(
            *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
        ) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "execctl", *arguments]
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True, env=process_environment)
            running.enter_context(process)
            running.callback(process.kill)
            return process

        yield popen
