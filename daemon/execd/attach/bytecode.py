"""The agent's modules compiled ahead of an attach, a file a minor version, made where execd is built.

In a busy target compiling the agent takes ten times as long as all else that it does to become ready. An interpreter
is needed of each version, so a build without one has no file for it, and targets of that version compile the sources.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

FOLDER = "bytecode"
# Runs in the interpreter. It writes its magic number; the sizes of the two injected codes, 4 bytes each, and both; then
# a directory, name -> offset; the modules, each as marshal stores it; and where they begin, counted from the directory.
_COMPILER = """
import sys
from importlib.util import MAGIC_NUMBER
import marshal
injected, sources = eval(sys.stdin.buffer.read(), {"__builtins__": {}})
codes = [marshal.dumps(compile(source, "<execd_agent>", "exec", dont_inherit=True)) for source in injected]
sizes = [len(code).to_bytes(4, "little") for code in codes]
directory, modules = {}, b""
for name, source in sources.items():
    directory[name] = len(modules)
    modules += marshal.dumps(compile(source, "<" + name + ">", "exec", dont_inherit=True))
head = marshal.dumps(directory)
tail = len(head).to_bytes(4, "little")
sys.stdout.buffer.write(b"".join([MAGIC_NUMBER, *sizes, *codes, head, modules, tail]))
"""
_MAGIC_SIZE = 4
_SIZES = struct.Struct("<II")
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Compiled:
    """The agent for one minor version.

    Attributes:
        magic: the number that the interpreter's .pyc files begin with.
        launch, bootstrap: of the injected files, as marshal stores them.
        modules: the magic number, then all others, in the form that bootstrap.py reads.
    """

    magic: bytes
    launch: bytes
    bootstrap: bytes
    modules: bytes


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


def compile_sources(injected: tuple[str, str], sources: Mapping[str, str], command: Sequence[str]) -> bytes:
    """Return the content of a file.

    Args:
        injected: the texts of launch.py and bootstrap.py.
        sources: the other modules by name.
        command: what starts an interpreter of the version.

    Raises:
        subprocess.SubprocessError, OSError: it does not compile them.
    """
    # Without the columns of expressions (3.11+), which make half of it.
    run = [*command, "-X", "no_debug_ranges", "-I", "-S", "-c", _COMPILER]
    text = repr((injected, dict(sources))).encode()
    return subprocess.run(run, input=text, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=True).stdout


def compiled(content: bytes) -> Compiled:
    """Return what is in the content of a file."""
    magic = content[:_MAGIC_SIZE]
    launch_size, bootstrap_size = _SIZES.unpack_from(content, _MAGIC_SIZE)
    launch = _MAGIC_SIZE + _SIZES.size
    bootstrap = launch + launch_size
    modules = bootstrap + bootstrap_size
    return Compiled(magic, content[launch:bootstrap], content[bootstrap:modules], magic + content[modules:])


def read(package: Traversable) -> dict[tuple[int, int], Compiled]:
    """Return the files that were made from this very agent, by minor version."""
    folder = package / FOLDER
    pattern = re.compile(rf"cpython-(\d+)\.(\d+)-{fingerprint(package)}\.bin")
    found = {}
    for entry in folder.iterdir() if folder.is_dir() else ():
        match = pattern.fullmatch(entry.name)
        if match is not None:
            found[int(match[1]), int(match[2])] = compiled(entry.read_bytes())
    return found
