"""Places: where and as what a target runs, so that it is not beside the daemon on the daemon's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from programs import SOURCES, Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreters import Interpreter

NOBODY = 65534
TEMPORARY = "tmp"
OWN_NAMESPACES = ("unshare", "-m", "-p", "-f", "-n", "-U", "-r", "--kill-child")


@dataclass(frozen=True, slots=True)
class Place:
    """One place.

    Attributes:
        name: of the place, for the test's name.
        wrap: what stands before a command line that starts there; it is given the interpreter's root.
    """

    name: str
    wrap: Callable[[str], tuple[str, ...]]


def shell(script: str) -> tuple[str, ...]:
    """What runs a script and then the command in a mount namespace of its own."""
    return ("unshare", "-m", "sh", "-ec", script + '; exec "$@"', "sh")


PLACES = (
    Place("namespaces", lambda root: (*OWN_NAMESPACES, f"--mount-proc={root or ''}/proc")),
    Place("the /proc of the host", lambda _root: OWN_NAMESPACES),
    Place("no /proc", lambda root: shell(f"umount -l {root}/proc")),
    Place("a /proc of others", lambda root: shell(f"unshare -p -f --kill-child mount -t proc proc {root}/proc")),
    Place(
        "read-only root and noexec /tmp",
        lambda root: shell(
            f"mount --rbind {root or '/'} {root or '/'}; mount -o remount,ro,bind {root or '/'}; "
            f"cd {root}/{TEMPORARY}; mount --bind . .; cd .; mount -o remount,noexec,bind $PWD"
        ),
    ),
)


class Installation:
    """A copy of an interpreter's executable and library, which a test may rename, change and delete.

    Args:
        original: what is copied; its standard library is shared.
        executable: the copy's name.
        library: the name of the copy's libpython, as long as the original's; "" for the same.
    """

    def __init__(self, original: Interpreter, executable: str = "python", library: str = "") -> None:
        self._made = ExitStack()
        self.folder = Path(original.root or "/") / TEMPORARY / f"execd-place-{os.getpid()}-{executable}"
        self._made.callback(shutil.rmtree, self.folder)
        source = Path(original.root) / original.executable.lstrip("/") if original.root else Path(original.executable)
        self.executable = self.folder / "bin" / executable
        self.executable.parent.mkdir(parents=True)
        shutil.copy(source, self.executable)
        standard = f"python{original.version}"
        (self.folder / "lib").mkdir()
        (self.folder / "lib" / standard).symlink_to(Path(original.executable).parent.parent / "lib" / standard)
        self.library = self._copy_library(source, library)
        self.interpreter = replace(original, executable=original.inside(self.executable))
        self.environment = {"LD_LIBRARY_PATH": original.inside(self.folder / "lib")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._made.close()

    @property
    def files(self) -> list[Path]:
        """Those of its files that a process maps."""
        return [self.executable] if self.library is None else [self.executable, self.library]

    def _copy_library(self, source: Path, name: str) -> Path | None:
        found = sorted(source.parent.parent.glob("lib/libpython3.*.so.1.0"))
        if not found:
            return None  # it is a part of the executable
        copy = self.folder / "lib" / (name or found[0].name)
        shutil.copy(found[0], copy)
        if name:
            whole = self.executable.read_bytes()
            self.executable.write_bytes(whole.replace(found[0].name.encode(), name.encode()))
        return copy


class Placed(Program):
    """A program of tests/targets in some place.

    Args:
        interpreter: what it runs under.
        command: its command line; processes that it goes through may stay as parents of it.
        stderr_path: where its stderr goes.
        environment: variables beside those of the tests.
        question: the command whose answer grows as long as the program goes on.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        command: list[str],
        stderr_path: Path,
        environment: dict[str, str],
        question: str,
    ) -> None:
        super().__init__(interpreter, command, stderr_path, {**os.environ, **environment})
        self._question = question

    def progress(self) -> int:
        """How far it has come."""
        answer = self.ask_json(self._question)
        return int(answer if isinstance(answer, int) else answer["leaf"])

    @property
    def pid(self) -> int:
        """The PID of the innermost process."""
        pid = super().pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
        return pid


def compiled_embedder(interpreter: Interpreter, folder: Path, *flags: str) -> Path | None:
    """Compiles a program that CPython is embedded in; None where the interpreter has no headers and library for that.

    Args:
        interpreter: whose library it is linked with.
        folder: where its tree is made.
        *flags: for the compiler.
    """
    prefix = Path(interpreter.executable).parent.parent
    library = prefix / "lib" / f"libpython{interpreter.version}.so"
    if interpreter.root or not library.exists():
        return None
    program = folder / "bin" / "service"
    program.parent.mkdir(parents=True, exist_ok=True)
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / f"python{interpreter.version}").symlink_to(prefix / "lib" / f"python{interpreter.version}")
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    link = (f"-L{library.parent}", f"-Wl,-rpath,{library.parent}", f"-lpython{interpreter.version}", "-lpthread")
    subprocess.run([compiler, *flags, SOURCES / "embedder.c", "-o", program, *link], check=True)
    return program


def stripped(path: Path) -> None:
    """Takes out of an ELF file what `strip` does: the table of all symbols. Skips where binutils are missing."""
    tool = shutil.which("strip")
    if tool is None:
        pytest.skip("there is no `strip` here")
    subprocess.run([tool, "--strip-all", path], check=True)


def without_sections(path: Path) -> None:
    """Takes the section headers out of an ELF file, as `sstrip` does; a loader needs none."""
    data = bytearray(path.read_bytes())
    data[40:48] = bytes(8)  # e_shoff
    data[58:64] = bytes(6)  # e_shentsize, e_shnum, e_shstrndx
    path.write_bytes(data)
