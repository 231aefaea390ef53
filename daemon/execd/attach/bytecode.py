"""The agent's modules compiled ahead of an attach, a file a minor version, made where execd is built.

In a busy target compiling the agent takes ten times as long as all else that it does to become ready. An interpreter
is needed of each version, so a build without one has no file for it, and targets of that version compile the sources.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

FOLDER = "bytecode"
# Runs in the interpreter. It writes its magic number; a directory, name -> offset; the modules, each as marshal stores
# it, from `start` after the magic number on; `start` as 4 bytes.
_COMPILER = """
import sys
from importlib.util import MAGIC_NUMBER
import marshal
directory, modules = {}, b""
for name, source in eval(sys.stdin.buffer.read(), {"__builtins__": {}}).items():
    directory[name] = len(modules)
    modules += marshal.dumps(compile(source, "<" + name + ">", "exec", dont_inherit=True))
head = marshal.dumps(directory)
sys.stdout.buffer.write(MAGIC_NUMBER + head + modules + len(head).to_bytes(4, "little"))
"""
_TIMEOUT_S = 60


def fingerprint(folder: Traversable) -> str:
    """Return what tells this agent's files from another's, older or newer, as 16 hexadecimal digits."""
    return hashlib.sha256(_content(folder)).hexdigest()[:16]


def _content(folder: Traversable) -> bytes:
    content = b""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py"):
            content += entry.name.encode() + b"\0" + entry.read_bytes() + b"\0"
        elif entry.is_dir() and entry.name not in (FOLDER, "__pycache__"):
            content += _content(entry)
    return content


def file_name(version: tuple[int, int], package: Traversable) -> str:
    """Return the name of the file for a version, (3, 11), and this agent."""
    return f"cpython-{version[0]}.{version[1]}-{fingerprint(package)}.bin"


def compile_sources(sources: Mapping[str, str], command: Sequence[str]) -> bytes:
    """Return the content of a file.

    Args:
        sources: the modules by name.
        command: what starts an interpreter of the version.

    Raises:
        subprocess.SubprocessError, OSError: it does not compile them.
    """
    run = [*command, "-I", "-S", "-c", _COMPILER]
    text = repr(dict(sources)).encode()
    return subprocess.run(run, input=text, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=True).stdout


def read(package: Traversable) -> dict[tuple[int, int], bytes]:
    """Return the content of the files that were made from this very agent, by minor version."""
    folder = package / FOLDER
    pattern = re.compile(rf"cpython-(\d+)\.(\d+)-{fingerprint(package)}\.bin")
    found = {}
    for entry in folder.iterdir() if folder.is_dir() else ():
        match = pattern.fullmatch(entry.name)
        if match is not None:
            found[int(match[1]), int(match[2])] = entry.read_bytes()
    return found
