"""Fixtures of all tests: interpreters, target programs, and the check that nothing is left behind."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import hypothesis
import pytest
from interpreters import SUPPORTED, find_interpreters, required_versions
from processes import MARK, left_over, living_pids, stopped
from programs import Program, ProgramFolders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interpreters import Interpreter


class Spawn(Protocol):
    """Starts a program of tests/targets and waits until it is ready; the test's end ends it."""

    def __call__(
        self, interpreter: Interpreter, program: str, *arguments: str, env: dict[str, str] | None = None
    ) -> Program:
        """Starts it.

        Args:
            interpreter: what it runs under.
            program: its name, without ".py".
            *arguments: its arguments.
            env: variables that are added to the environment of the tests.

        Returns:
            The running program.
        """


def pytest_configure() -> None:
    """Make the machine like any other.

    Where others use it an example takes as long as it likes: hypothesis would fail it after 200 ms. pytest-xdist tells
    its workers a width, which is none of a terminal's.
    """
    os.environ.pop("COLUMNS", None)
    hypothesis.settings.register_profile("execd", deadline=None)
    hypothesis.settings.load_profile("execd")


@pytest.fixture(scope="session", autouse=True)
def pids_before_the_run() -> Iterator[frozenset[int]]:
    """What was there before, and a mark on all that this run starts: a daemon leaves the process tree."""
    os.environ[MARK] = str(os.getpid())
    yield living_pids()
    del os.environ[MARK]


@pytest.fixture(autouse=True)
def nothing_left_behind(pids_before_the_run: frozenset[int]) -> Iterator[None]:
    """Fails a test that leaves a process, or leaves one stopped."""
    before = living_pids()
    yield
    assert not (found := left_over(before)), f"left running: {found}"
    assert not (found := stopped(pids_before_the_run)), f"left stopped: {found}"


@pytest.fixture(scope="session")
def interpreters() -> dict[str, Interpreter]:
    """Every interpreter of this machine, by minor version."""
    return find_interpreters(os.environ)


@pytest.fixture(params=SUPPORTED, scope="module")
def interpreter(request: pytest.FixtureRequest, interpreters: dict[str, Interpreter]) -> Interpreter:
    """Each supported interpreter in turn; a missing one skips, or fails where it is required."""
    version: str = request.param
    if version not in interpreters and version in required_versions(os.environ):
        pytest.fail(f"CPython {version} is required and missing: name an executable in EXECD_TEST_PYTHONS")
    if version not in interpreters:
        pytest.skip(f"no CPython {version} on this machine")
    return interpreters[version]


@pytest.fixture(scope="session")
def local_interpreter(interpreters: dict[str, Interpreter]) -> Interpreter:
    """One interpreter, the version of the tests' own, for what does not depend on the version."""
    return interpreters[f"{sys.version_info.major}.{sys.version_info.minor}"]


@pytest.fixture(scope="session")
def program_folders() -> Iterator[ProgramFolders]:
    """Where the target programs lie; copies in other roots are removed at the end."""
    folders = ProgramFolders()
    yield folders
    folders.remove()


@pytest.fixture
def spawn(program_folders: ProgramFolders, tmp_path: Path) -> Iterator[Spawn]:
    """Starts target programs under an interpreter, and always kills them at the end."""
    with ExitStack() as running:

        def start(
            interpreter: Interpreter, program: str, *arguments: str, env: dict[str, str] | None = None
        ) -> Program:
            command = program_folders.command(interpreter, program, arguments)
            stderr_path = tmp_path / f"{program}-{len(list(tmp_path.iterdir()))}.stderr"
            program_env = {**os.environ, **(env or {})}
            started = running.enter_context(Program(interpreter, command, stderr_path, program_env))
            started.wait_until_ready()
            return started

        yield start
