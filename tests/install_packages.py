"""Installs the packages that some tests attach to, for every interpreter found: a folder a minor version.

    EXECD_TEST_PACKAGES=/var/cache/execd-packages python tests/install_packages.py

The folder lies in the root of each interpreter, under the same name. What is there already, or has no wheel for that
version, is not looked for again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interpreters import find_interpreters

if TYPE_CHECKING:
    from interpreters import Interpreter

# Attached to: servers and extensions, programs, and what else measures them.
PACKAGES = ("uvloop", "gevent", "numpy", "pyperformance", "coverage")
# Of these the files alone: the tests stand in for what they import.
ALONE = ("pyperformance",)
INSTALL = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:")
NO_WHEEL = b"No matching distribution found"


def install(package: str, interpreter: Interpreter, folder: Path) -> bool:
    """Installs the newest release that has a wheel for an interpreter; tells whether there is one.

    Raises:
        CalledProcessError: pip failed for another reason, of which its output tells.
    """
    command = [*INSTALL, "--target", str(folder), "--python-version", interpreter.version, package]
    if package in ALONE:
        command.append("--no-deps")
    if interpreter.version_info > sys.version_info[:2]:
        # pip compares what a release requires with the version that pip itself runs on; the wheel's own tags decide.
        command.append("--ignore-requires-python")
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE)
    if done.returncode and NO_WHEEL not in done.stderr:
        sys.stderr.buffer.write(done.stderr)
        done.check_returncode()
    return done.returncode == 0


def main() -> None:
    """Installs what is missing, and says what cannot be had."""
    place = os.environ["EXECD_TEST_PACKAGES"].lstrip("/")
    for interpreter in find_interpreters(os.environ).values():
        folder = Path(interpreter.root or "/") / place / interpreter.version
        folder.mkdir(parents=True, exist_ok=True)
        for package in PACKAGES:
            looked_for = folder / f".{package}"
            if looked_for.exists():
                continue
            if not install(package, interpreter, folder):
                print(f"{package} has no wheel for CPython {interpreter.version}")  # noqa: T201 -- a program
            looked_for.touch()


if __name__ == "__main__":
    main()
