"""Sanitizing: the unit tests of the native core, with a core that AddressSanitizer and UBSan look after.

`make sanitize`, or `python tests/sanitizing.py [ARGUMENT OF PYTEST...]`. Needs gcc with its libasan. The core lies in a
folder of the same path in the root of each interpreter; the drivers alone load it, in front of which libasan is loaded:
what it finds ends the driver, and fails the test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PROJECT = Path(__file__).parent.parent
SOURCES = PROJECT / "inprocess/native"
FLAGS = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fno-omit-frame-pointer",
    "-fvisibility=hidden",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
# The first of them must come before all other libraries.
LIBRARIES = ("libasan.so", "libubsan.so")
CORE = "_core.abi3.so"
# Python itself gives back little of its memory at its end: test_native_cycles.py looks for leaks.
OPTIONS = "detect_leaks=0:detect_stack_use_after_return=1"
FOLDER = "EXECD_TEST_SANITIZED"
# The native form alone; and what memory is taken says nothing here: freed blocks are kept for a while.
CHOSEN = "not -python and not [python and not memory"
TESTS = (
    "test_native_core.py",
    "test_native_cycles.py",
    "test_native_interrupts.py",
    "test_native_objects.py",
    "test_agent_calls.py",
    "test_agent_hooks.py",
    "test_agent_threads.py",
    "test_agent_times.py",
)


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a driver is started with where the core is to be looked after, nothing elsewhere."""
    folder = environ.get(FOLDER)
    if not folder:
        return {}
    preloaded = ":".join(f"{folder}/{name}" for name in LIBRARIES)
    return {"EXECD_TEST_CORE": f"{folder}/{CORE}", "LD_PRELOAD": preloaded, "ASAN_OPTIONS": OPTIONS}


def build(folder: Path) -> None:
    """Compile the core, and put it and the libraries into a folder."""
    compiler = os.environ.get("CC", "gcc")
    include = sysconfig.get_path("include")
    sources = [str(one) for one in sorted(SOURCES.glob("*.c"))]
    subprocess.run([compiler, *FLAGS, f"-I{include}", *sources, "-o", str(folder / CORE)], check=True)
    for name in LIBRARIES:
        told = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
        shutil.copy(Path(told.stdout.strip()).resolve(), folder / name)


def other_roots() -> Iterator[Path]:
    """Return the roots of interpreters that are not this one."""
    sys.path.insert(0, str(PROJECT / "tests"))
    from interpreters import find_interpreters  # noqa: PLC0415 - found by what stands above

    yield from {Path(one.root) for one in find_interpreters(os.environ).values() if one.root}


def run(arguments: Iterable[str]) -> int:
    """Build, and run the tests; their exit status."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="execd-sanitized-", dir="/tmp")))
        folder.chmod(0o755)
        build(folder)
        for root in other_roots():
            copy = root / folder.relative_to("/")
            shutil.copytree(folder, copy)
            closing.callback(shutil.rmtree, copy)
        tests = [str(PROJECT / "tests/unit" / name) for name in TESTS]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not soak",
            "-k",
            CHOSEN,
            *(arguments if any("test_" in one for one in arguments) else [*tests, *arguments]),
        ]
        return subprocess.run(command, cwd=PROJECT, env={**os.environ, FOLDER: str(folder)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
