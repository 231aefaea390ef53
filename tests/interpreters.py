"""Interpreters: the CPythons of this machine that targets run under, in this root or in another one."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SUPPORTED = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
DEFAULT_FORKY_ROOT = "/var/cache/execd-forky"
PROBE_TIMEOUT_S = 20

# A virtual environment's python is a link to the one that counts, and a pyenv shim is a script that finds it.
PROBE = """
import json, os, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "version_info": list(sys.version_info[:3]),
    "hex_version": sys.hexversion,
    "implementation": sys.implementation.name,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One CPython with the GIL.

    Attributes:
        version: "3.14".
        full_version: "3.14.8".
        executable: its path in its own root.
        root: "" for this root, else the folder that is the root of its processes.
        hex_version: sys.hexversion, which orders patch levels.
    """

    version: str
    full_version: str
    executable: str
    root: str
    hex_version: int

    @property
    def argv(self) -> tuple[str, ...]:
        """What a command line begins with; `chroot` executes the interpreter, so the PID is its own."""
        return ("chroot", self.root, self.executable) if self.root else (self.executable,)

    @property
    def version_info(self) -> tuple[int, int]:
        """(3, 14)."""
        major, minor = self.version.split(".")
        return int(major), int(minor)

    def inside(self, path: Path) -> str:
        """The path by which its processes know a file that lies below its root.

        Args:
            path: a path in this root.

        Returns:
            The path in the interpreter's root.
        """
        return str(Path("/") / path.relative_to(self.root)) if self.root else str(path)


def find_interpreters(environ: Mapping[str, str]) -> dict[str, Interpreter]:
    """Finds the newest patch level of each supported minor version.

    Args:
        environ: PATH, PYENV_ROOT, UV_PYTHON_INSTALL_DIR, EXECD_TEST_PYTHONS (executables, separated by
            colons) and EXECD_FORKY_ROOT (the root of a Debian forky, used by root alone) say where to look.

    Returns:
        The interpreters by minor version, in the order of versions.
    """
    candidates = {("", path) for path in local_executables(environ)} | set(chroot_executables(environ))
    found = [interpreter for root, path in sorted(candidates) if (interpreter := probe(root, path))]
    newest = {one.version: one for one in sorted(found, key=lambda one: one.hex_version)}
    return {version: newest[version] for version in SUPPORTED if version in newest}


def required_versions(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The minor versions whose absence is a failure: EXECD_REQUIRE_PYTHONS, separated by commas."""
    return tuple(version for version in environ.get("EXECD_REQUIRE_PYTHONS", "").split(",") if version)


def local_executables(environ: Mapping[str, str]) -> Iterator[str]:
    """Executables in this root that are named like a supported interpreter, and those named by the user."""
    yield from (path for path in environ.get("EXECD_TEST_PYTHONS", "").split(":") if path)
    for folder in local_folders(environ):
        for version in SUPPORTED:
            path = folder / f"python{version}"
            if os.access(path, os.X_OK):
                # Of several names for one file one is probed; a pyenv shim says itself what it stands for.
                yield str(path.resolve())


def local_folders(environ: Mapping[str, str]) -> Iterable[Path]:
    """The folders of PATH, of pyenv and of uv."""
    home = Path(environ.get("HOME", "/"))
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    on_path = [Path(folder) for folder in environ.get("PATH", "").split(":") if folder]
    return [*on_path, *pyenv.glob("versions/*/bin"), *uv.glob("*/bin")]


def chroot_executables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Executables in the root of a Debian forky, where chroot is permitted."""
    root = environ.get("EXECD_FORKY_ROOT", DEFAULT_FORKY_ROOT)
    if os.geteuid() != 0 or not root:
        return
    for version in SUPPORTED:
        if (Path(root) / f"usr/bin/python{version}").exists():
            yield root, f"/usr/bin/python{version}"


def probe(root: str, executable: str) -> Interpreter | None:
    """Asks an executable what it is.

    Args:
        root: "" or the folder that is its root.
        executable: its path in that root.

    Returns:
        The interpreter, None where it is not a supported CPython or does not start.
    """
    entry = ("chroot", root) if root else ()
    command = [*entry, executable, "-I", "-c", PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return interpreter_of(root, json.loads(answer))


def interpreter_of(root: str, facts: dict[str, object]) -> Interpreter | None:
    """The interpreter that answered a probe, None where it is not a supported CPython."""
    match facts:
        case {
            "implementation": "cpython",
            "free_threaded": False,
            "version_info": [int(major), int(minor), int(micro)],
            "executable": str(executable),
            "hex_version": int(hex_version),
        } if f"{major}.{minor}" in SUPPORTED:
            return Interpreter(f"{major}.{minor}", f"{major}.{minor}.{micro}", executable, root, hex_version)
        case _:
            return None
