"""The command line of a program that is run: options of Python, then `prog.py args`, `-m module` or `-c code`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from execctl.errors import NotFound, NotSupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST, NEWEST = (3, 9), (3, 15)
# Options of CPython that take a value, which may be the next word (pymain, getopt.c).
_VALUED = "WX"
_LONG_VALUED = ("--check-hash-based-pycs",)
# With them the interpreter imports no sitecustomize, or none from PYTHONPATH.
_WITHOUT_SITE = {"I": "-I", "E": "-E", "S": "-S"}
_PROBE_TIMEOUT_S = 30.0
_ELF = b"\x7fELF"
_CANNOT_COMPILE, _CANNOT_OPEN = 1, 2
# It must run on whatever is called python.
_PROBE = """
import sys
config = __import__("sysconfig").get_config_var("Py_GIL_DISABLED")
name = getattr(getattr(sys, "implementation", None), "name", "an old Python")
print('["%s", "%d.%d.%d", %d]' % ((name,) + tuple(sys.version_info[:3]) + (1 if config else 0,)))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What programs are run with.

    Attributes:
        path: of its executable, or of a script that starts it.
        version: "3.11.7".
    """

    path: str
    version: str


def find_interpreter(asked: str) -> Interpreter:
    """Return an interpreter by name or path, looked at by running it.

    Args:
        asked: what --python says, "" for python3.

    Raises:
        NotFound: there is none.
        NotSupported: there is one that cannot be recorded.
    """
    name = asked or "python3"
    path = shutil.which(name)
    if path is None:
        raise NotFound(f"there is no interpreter {name}", remedy="name one with --python")
    try:
        said = subprocess.run([path, "-I", "-c", _PROBE], capture_output=True, timeout=_PROBE_TIMEOUT_S, check=True)
        implementation, version, is_free_threaded = json.loads(said.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise NotSupported(f"{path} is not a Python that starts", remedy="name one with --python") from None
    numbers = tuple(map(int, version.split(".")))
    if implementation != "cpython" or not OLDEST <= numbers[:2] <= NEWEST or is_free_threaded:
        kind = "free-threaded CPython" if is_free_threaded else implementation
        remedy = "use CPython 3.9 to 3.15 with the GIL: name one with --python"
        raise NotSupported(f"{path} is {kind} {version}", remedy=remedy)
    return Interpreter(path, version)


def check_words(words: Sequence[str]) -> str:
    """Refuse a command line that starts no program, or under options that keep execd out.

    Args:
        words: what follows the interpreter's name.

    Returns:
        The file that is run, "" where it is none.

    Raises:
        UsageError: no program is started.
        NotSupported: execd is kept out.
    """
    for one in words:
        if not isinstance(one, str):
            raise UsageError(f"the words of a program are texts, and not {one!r}", remedy=f"say {str(one)!r}")
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word in _LONG_VALUED:
            del waiting[:1]
        elif word.startswith("--"):
            continue
        elif not word.startswith("-"):
            return word
        elif word == "-" or _starts_program(word, waiting):
            return ""
    raise UsageError("no program is given", remedy="execctl run --profile prog.py, -m module or -c code")


def why_refused(file: str, status: int) -> str:
    """Return why Python has not run a file as a program, "" where it may have.

    Args:
        file: as it was given, "" for none.
        status: how the interpreter ended: with these two it does where it runs nothing.
    """
    if not file or status not in (_CANNOT_OPEN, _CANNOT_COMPILE):
        return ""
    path = Path(file)
    if not path.exists():
        return f"there is no file {file} here" if status == _CANNOT_OPEN else ""
    # To open a pipe would wait for its writer.
    with suppress(OSError), path.open("rb") if path.is_file() else nullcontext() as opened:
        if opened and opened.read(len(_ELF)) == _ELF:
            return f"{file} is a program of machine code, and none of Python's"
    return ""


def _starts_program(word: str, waiting: list[str]) -> bool:
    """Look at a word of short options; True where -c or -m is among them. Takes a value off what is `waiting`."""
    for place, letter in enumerate(word[1:], 2):
        if letter in _WITHOUT_SITE:
            flag = _WITHOUT_SITE[letter]
            remedy = f"leave {flag} out, or start the program without execctl and attach to it: execctl attach PID"
            raise NotSupported(f"execd cannot come into a program that is started with {flag}", remedy=remedy)
        if letter in "cm":
            if place == len(word) and not waiting:
                raise UsageError(f"argument expected for -{letter}", remedy=f"see execctl run --help: -{letter}")
            return True
        if letter in _VALUED:
            if place == len(word):
                del waiting[:1]
            return False
    return False


def archive_path(descriptor: int) -> str:
    """Return the path by which a process names a file that it has open."""
    return f"/proc/self/fd/{descriptor}"


def with_archive(environment: dict[str, str], descriptor: int) -> dict[str, str]:
    """Return an environment in which an archive is the first place that modules are looked for in."""
    before = environment.get("PYTHONPATH")
    path = archive_path(descriptor)
    return {**environment, "PYTHONPATH": f"{path}{os.pathsep}{before}" if before else path}
