"""Drivers: small programs that run parts of the agent under an interpreter, and what comes out of them."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sanitizing
from call_trees import header
from execd.attach.table import read_table
from execd.model.profile import ROOT, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreters import Interpreter

PROJECT = Path(__file__).parent.parent
# What drivers need of the project; a copy keeps the places that they have to each other.
NEEDED = ("tests/drivers", "tests/targets", "inprocess/execd_agent")
TIMEOUT_S = 60
PID = 4711


class Counts(NamedTuple):
    """How often a function was called, in all and while it was not on the stack already."""

    calls: int
    primitive: int


class Drivers:
    """Where the drivers lie for each interpreter: copied where its root does not hold them."""

    def __init__(self) -> None:
        self._copies: dict[str, Path] = {}
        # Of collectors that have several.
        self.form = "python"

    def in_form(self, form: str) -> Drivers:
        """The same, with collectors in a form, "python" or "native", where they have it."""
        found = copy.copy(self)
        found.form = form
        return found

    def command(self, interpreter: Interpreter, driver: str, arguments: Sequence[object]) -> list[str]:
        """The command line that starts a driver; its folder is on the path, bytecode is not written."""
        path = interpreter.inside(self._folder(interpreter) / f"tests/drivers/{driver}.py")
        return [*interpreter.argv, "-E", "-s", "-B", path, *map(str, arguments)]

    def run(self, interpreter: Interpreter, driver: str, *arguments: object, timeout_s: float = TIMEOUT_S) -> Any:
        """What a driver says, decoded; what it writes to stderr is a failure.

        Args:
            interpreter: what it runs under.
            driver: its name in tests/drivers.
            *arguments: its arguments.
            timeout_s: how long it may take.
        """
        command = self.command(interpreter, driver, arguments)
        environment = {**os.environ, **sanitizing.variables(os.environ), "EXECD_TEST_FORM": self.form}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def remove(self) -> None:
        """Removes the copies."""
        for folder in self._copies.values():
            shutil.rmtree(folder)
        self._copies.clear()

    def _folder(self, interpreter: Interpreter) -> Path:
        if not interpreter.root:
            return PROJECT
        if interpreter.root not in self._copies:
            made = Path(tempfile.mkdtemp(prefix="execd-drivers-", dir=Path(interpreter.root) / "tmp"))
            made.chmod(0o755)
            for folder in NEEDED:
                shutil.copytree(PROJECT / folder, made / folder, ignore=shutil.ignore_patterns("__pycache__"))
            self._copies[interpreter.root] = made
        return self._copies[interpreter.root]


def profile_of(table: str) -> Profile:
    """The profile in a table as a driver prints it."""
    return read_table(base64.b64decode(table), header(), PID)


def counts(profile: Profile) -> dict[tuple[str, int, str], Counts]:
    """How often each function was called, by (file name without folder, line, name), as cProfile counts it.

    Functions that were only open when the recording began are left out.
    """
    above: list[frozenset[tuple[Any, ...]]] = []
    calls: Counter[tuple[str, int, str]] = Counter()
    primitive: Counter[tuple[str, int, str]] = Counter()
    for node, parent in enumerate(profile.parents):
        function = profile.functions[profile.function_of(node)]
        own = (function.file, function.first_line, function.name)
        path = above[parent] if parent != ROOT else frozenset()
        above.append(path | {own})
        key = (function.file.rpartition("/")[2], function.first_line, function.name)
        calls[key] += profile.column("calls")[node]
        primitive[key] += 0 if own in path else profile.column("calls")[node]
    return {key: Counts(count, primitive[key]) for key, count in calls.items() if count}


def by_name(profile: Profile) -> dict[str, Counts]:
    """The same by name alone."""
    return {name: found for (_, _, name), found in counts(profile).items()}


def calls_by_thread(profile: Profile, name: str) -> dict[str, int]:
    """How often each thread called a function."""
    found: Counter[str] = Counter()
    for node, label in enumerate(profile.node_labels):
        if profile.functions[profile.function_of(node)].name == name:
            found[profile.labels[label].thread_name] += profile.column("calls")[node]
    return dict(+found)


def paths(profile: Profile, column: str) -> dict[tuple[str, ...], int]:
    """What a column has of each stack, those with nothing left out; stacks of all threads are added up."""
    stacks: list[tuple[str, ...]] = []
    found: Counter[tuple[str, ...]] = Counter()
    for node, parent in enumerate(profile.parents):
        name = profile.functions[profile.function_of(node)].name
        stacks.append((*(stacks[parent] if parent != ROOT else ()), name))
        found[stacks[node]] += profile.column(column)[node]
    return dict(+found)
