"""What the benchmark of calls needs beside an interpreter: pyperformance's programs, other profilers, and the floor.

It lies outside of the repository, in a folder a minor version, in the root of the interpreter.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

from install_packages import install

if TYPE_CHECKING:
    from interpreters import Interpreter

ROOT: Final = Path(__file__).parents[1]
# Peers that have wheels for these alone, or that are compared there.
PEERS: Final = {"3.11": ("yappi", "viztracer"), "3.13": ("yappi", "viztracer")}
FLOOR: Final = "calls_floor"
COMPILED: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")


def default_place() -> Path:
    """Return where the packages lie if nobody says it: EXECD_BENCH_PACKAGES, or the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EXECD_BENCH_PACKAGES") or cache / "execd-bench").absolute()


def prepare(interpreter: Interpreter, place: Path) -> str:
    """Install what is missing, and build the floor.

    Args:
        interpreter: for which.
        place: a folder of the root of each interpreter, absolute.

    Returns:
        The folder for this one, as its processes know it.

    Raises:
        CalledProcessError: pip or the compiler failed.
    """
    folder = Path(interpreter.root or "/") / place.relative_to("/") / interpreter.version
    folder.mkdir(parents=True, exist_ok=True)
    for package in ("pyperformance", *PEERS.get(interpreter.version, ())):
        looked_for = folder / f".{package}"
        if not looked_for.exists() and install(package, interpreter, folder):
            looked_for.touch()
    build_floor(folder)
    return interpreter.inside(folder)


def build_floor(folder: Path) -> None:
    """Compile the floor: like the core one binary for all versions, with the headers of this interpreter's."""
    headers = (f"-I{ROOT / 'inprocess/native'}", f"-I{sysconfig.get_path('include')}")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source, made = Path(__file__).with_name(f"{FLOOR}.c"), folder / f"{FLOOR}.so"
    # A process that has the old one mapped keeps it.
    made.unlink(missing_ok=True)
    subprocess.run([*compiler, *COMPILED, *headers, str(source), "-o", str(made)], check=True)
