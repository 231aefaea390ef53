"""The Python API is typed: `mypy --strict` passes on a program that uses it, and finds what is wrong in another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "typed" / "using_the_api.py"
# Beside that of `make check`, whose settings are others.
CACHE = ROOT / ".mypy_cache" / "of_users"
WRONG = re.compile(r'^WRONG = """\n(.*?)^"""', re.MULTILINE | re.DOTALL)


def checked(*programs: Path) -> list[str]:
    """What mypy says of programs, as of those of somebody who has execd installed."""
    paths = [os.fspath(ROOT / name) for name in ("client", "proto")]
    # It follows imports into the package, as it does into one that has py.typed, and is silent of it.
    flags = ["--strict", "--follow-imports=silent", "--cache-dir", os.fspath(CACHE), "--config-file="]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *flags, *map(os.fspath, programs)],
        env={**os.environ, "MYPYPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_program_that_uses_the_api_is_checked(tmp_path: Path) -> None:
    found = WRONG.search(PROGRAM.read_text("utf-8"))
    assert found is not None
    wrong = tmp_path / "wrong.py"
    wrong.write_text(found[1])
    told = checked(PROGRAM, wrong)
    of_program = [line for line in told if PROGRAM.name in line]
    assert of_program == []
    lines = {int(line.split(":")[1]) for line in told if "wrong.py" in line and " error: " in line}
    assert lines == {3, 4, 5, 6, 7, 8}


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "client" / "execctl" / "py.typed").exists()
