"""The bench of a soak: what all steps share, and how they start targets on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from programs import Program, ProgramFolders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from interpreters import Interpreter

SERVERS = ("gunicorn", "uvicorn")
# Newer ones say that they run on 3.9, and do not.
REQUIREMENTS = {"3.9": ("gunicorn", "uvicorn<0.36", "click<8.2")}
# uvicorn needs it before 3.11, and pip judges that by its own version.
ALSO = "typing_extensions"
INSTALL_TIMEOUT_S = 300


class StepTimeout(BaseException):
    """A step hangs; no BaseException, because nothing on the way up may take it for a failure of its own."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What there is to work with.

    Attributes:
        interpreters: by minor version.
        folders: of the target programs.
        scratch: a folder for what the steps write.
        packages: the folder of servers, with one below it for each minor version.
    """

    interpreters: dict[str, Interpreter]
    folders: ProgramFolders
    scratch: Path
    packages: Path

    @contextmanager
    def program(self, version: str, name: str, *arguments: str) -> Iterator[Program]:
        """A target program that is ready."""
        interpreter = self.interpreters[version]
        command = self.folders.command(interpreter, name, arguments)
        # The file is open as long as the program runs, wherever its name went.
        descriptor, stderr = tempfile.mkstemp(dir=self.scratch, prefix=f"{name}-{version}-")
        os.close(descriptor)
        with Program(interpreter, command, Path(stderr), dict(os.environ)) as program:
            program.wait_until_ready()
            yield program
        Path(stderr).unlink()

    def any_version(self, random: Random) -> str:
        """One of the interpreters."""
        return random.choice(list(self.interpreters))

    def packages_for(self, version: str) -> str:
        """The folder in which gunicorn and uvicorn lie, as processes of an interpreter know it."""
        interpreter = self.interpreters[version]
        folder = self.packages / version
        if not all((folder / package).exists() for package in SERVERS):
            install(folder, version)
        if not interpreter.root:
            return str(folder)
        copy = Path(interpreter.root) / f"tmp/execd-soak-{os.getpid()}" / version
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        return interpreter.inside(copy)

    def clean(self) -> None:
        """Removes what was copied into other roots."""
        self.folders.remove()
        for root in {interpreter.root for interpreter in self.interpreters.values() if interpreter.root}:
            shutil.rmtree(Path(root) / f"tmp/execd-soak-{os.getpid()}", ignore_errors=True)


def install(folder: Path, version: str) -> None:
    """Installs the servers, pure Python all of them."""
    options = ["--quiet", "--only-binary=:all:", "--target", str(folder), "--python-version", version]
    command = [sys.executable, "-m", "pip", "install", *options, *REQUIREMENTS.get(version, SERVERS), ALSO]
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S)


@contextmanager
def opened(interpreters: dict[str, Interpreter], folder: Path) -> Iterator[Bench]:
    """A bench, cleared at the end.

    Args:
        interpreters: the versions to soak.
        folder: where the packages are kept, if EXECD_TEST_PACKAGES names no other place.
    """
    packages = Path(os.environ.get("EXECD_TEST_PACKAGES") or folder / "packages").absolute()
    with ExitStack() as closing:
        scratch = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="execd-soak-")))
        bench = Bench(interpreters, ProgramFolders(), scratch, packages)
        closing.callback(bench.clean)
        yield bench


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises StepTimeout in a block that takes longer, so that what it holds is given back."""

    def expire(*_: object) -> NoReturn:
        raise StepTimeout(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
