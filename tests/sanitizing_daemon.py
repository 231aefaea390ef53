"""Sanitizing the daemon: tests of the sampler and of the reader of tables, with AddressSanitizer and UBSan.

`make sanitize`, or `python tests/sanitizing_daemon.py [ARGUMENT OF PYTEST...]`. Needs gcc with its libasan. It is the
tests' own process that loads what is looked after here, from a copy of the package `execd`, and a finding ends it; the
programs that it starts are as they always are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

from sanitizing import FLAGS, LIBRARIES, OPTIONS, PROJECT

PACKAGE = PROJECT / "daemon/execd"
MODULES = ("execd._sampler", "execd._coretables")
TESTS = (
    "unit/test_native_sampler.py",
    "unit/test_crowd.py",
    "unit/test_core_map.py",
    "unit/test_native_tables.py",
    "integration/test_sampler.py",
)
# Libasan was loaded by then; what the tests start is not to load it.
PYTEST = "import os, sys; del os.environ['LD_PRELOAD']; import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def sources() -> dict[str, list[str]]:
    """Return what each module is compiled of."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    modules = project["tool"]["setuptools"]["ext-modules"]
    return {one["name"]: one["sources"] for one in modules if one["name"] in MODULES}


def build(folder: Path) -> None:
    """Copy the package into a folder, with modules that are looked after."""
    compiler = os.environ.get("CC", "gcc")
    include, suffix = sysconfig.get_path("include"), sysconfig.get_config_var("EXT_SUFFIX")
    shutil.copytree(PACKAGE, folder / "execd", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name, files in sources().items():
        built = folder / (name.replace(".", "/") + suffix)
        subprocess.run([compiler, *FLAGS, f"-I{include}", *files, "-o", str(built)], cwd=PROJECT, check=True)


def library(name: str) -> str:
    """Return where the compiler has a library."""
    command = [os.environ.get("CC", "gcc"), f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run(arguments: list[str]) -> int:
    """Build, and run the tests; their exit status."""
    with tempfile.TemporaryDirectory(prefix="execd-sanitized-") as name:
        build(Path(name))
        environment = {
            **os.environ,
            "LD_PRELOAD": ":".join(map(library, LIBRARIES)),
            "ASAN_OPTIONS": OPTIONS,
            # Objects that are handed on lie in memory that is looked after, too.
            "PYTHONMALLOC": "malloc",
        }
        tests = [] if any("test_" in one for one in arguments) else [str(PROJECT / "tests" / one) for one in TESTS]
        # The copy comes before what the project is installed from.
        paths = f"pythonpath={name} client proto inprocess tests"
        command = [sys.executable, "-c", PYTEST, "-q", "-m", "not soak", "-o", paths, *tests, *arguments]
        return subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
