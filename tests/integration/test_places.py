"""Targets in namespaces, without /proc, of other users, on files that are gone, embedded and several in one process."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from attachments import attach, attached, detach, record_calls
from elf_lies import lying_program
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.errors import NotPermitted, NotSupported
from footprint import becomes, footprint, resident_kib, settled
from interpreters import SUPPORTED
from places import NOBODY, PLACES, Installation, Place, Placed, compiled_embedder, stripped, without_sections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.attach.attacher import Attacher
    from interpreters import Interpreter
    from programs import ProgramFolders

VERSIONS = ("3.9", "3.12", "3.15")
# Those of which a library to link with is at hand; the others in long runs only.
EMBEDDABLE = [pytest.param(one, marks=() if one in VERSIONS else pytest.mark.soak) for one in SUPPORTED]
TIMEOUT_S = 10.0
MEMORY_LIMIT_KIB = 64 << 10

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces, other users and other roots need root")


class Start(Protocol):
    """Starts a program in a place; the test's end ends it."""

    def __call__(
        self,
        interpreter: Interpreter,
        program: str,
        *arguments: str,
        before: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> Placed:
        """Starts it and waits until it is ready.

        Args:
            interpreter: what it runs under.
            program: its name, without ".py".
            *arguments: its arguments.
            before: what stands before its command line.
            environment: more variables.
        """


@pytest.fixture
def start(program_folders: ProgramFolders, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def begin(
            interpreter: Interpreter,
            program: str,
            *arguments: str,
            before: tuple[str, ...] = (),
            environment: dict[str, str] | None = None,
        ) -> Placed:
            command = [*before, *program_folders.command(interpreter, program, arguments)]
            stderr_path = tmp_path / f"{len(list(tmp_path.glob('*.stderr')))}.stderr"
            question = "counters" if "busy" in (program, *arguments) else "count"
            placed = running.enter_context(Placed(interpreter, command, stderr_path, environment or {}, question))
            placed.wait_until_ready()
            return placed

        yield begin


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, interpreters: dict[str, Interpreter]) -> Interpreter:
    """The interpreters that stand for all."""
    return of_version(interpreters, request.param)


def of_version(interpreters: dict[str, Interpreter], version: str) -> Interpreter:
    if version not in interpreters:
        pytest.skip(f"no CPython {version} on this machine")
    return interpreters[version]


@pytest.fixture(params=[1, pytest.param(20, marks=pytest.mark.soak)], ids=["once", "often"])
def tries(request: pytest.FixtureRequest) -> int:
    """How often a program is attached to."""
    tries: int = request.param
    return tries


def require_attachable(attacher: Attacher, program: Placed, tries: int = 1) -> set[str]:
    """Attaches, records and leaves; fails where the program does not go on as before. The ways in which it came."""
    pid, methods = program.pid, set()
    # The first answer may load what answering needs.
    program.progress()
    assert becomes(lambda: not any("/proc/" in one for one in footprint(pid).descriptors), TIMEOUT_S)
    before = footprint(pid)
    for _ in range(tries):
        with attached(attacher, pid) as link:
            methods.add(link.method)
            assert link.hello.python_version.startswith(program.interpreter.version)
            record_calls(link)
            require_progress(program)
            detach(link)
        assert settled(pid, before) == before
        require_progress(program)
    assert program.stderr() == ""
    return methods


def require_progress(program: Placed) -> None:
    first = program.progress()
    assert becomes(lambda: program.progress() > first, TIMEOUT_S)


@pytest.mark.parametrize("program", ["busy", pytest.param("reading", marks=pytest.mark.soak)])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_program_in_a_place_of_its_own_is_attached_to(
    version: Interpreter, place: Place, program: str, tries: int, start: Start, attacher: Attacher
) -> None:
    placed = start(version, program, before=place.wrap(version.root))
    require_attachable(attacher, placed, tries)


def test_a_program_without_proc_runs_nothing_by_path(
    interpreters: dict[str, Interpreter], start: Start, attacher: Attacher
) -> None:
    """CPython 3.14 would tell the target's stderr of a script that it cannot open."""
    (without,) = (place for place in PLACES if place.name == "no /proc")
    latest = of_version(interpreters, "3.15")
    placed = start(latest, "busy", before=without.wrap(latest.root))
    assert require_attachable(attacher, placed) <= {"pending call", "borrowed thread"}


@pytest.mark.parametrize("program", ["busy", "reading"])
def test_roots_daemon_attaches_to_another_users_program(
    version: Interpreter, program: str, tries: int, start: Start, attacher: Attacher
) -> None:
    placed = start(version, "demoting", str(NOBODY), program)
    require_attachable(attacher, placed, tries)
    assert process.status(placed.pid).uid == NOBODY


@pytest.mark.parametrize("fate", ["deleted", "replaced", pytest.param("a folder now", marks=pytest.mark.soak)])
def test_a_program_whose_files_are_gone_is_attached_to(
    version: Interpreter, fate: str, tries: int, start: Start, attacher: Attacher
) -> None:
    with Installation(version) as copy:
        placed = start(copy.interpreter, "busy", environment=copy.environment)
        for file in copy.files:
            file.unlink()
            if fate == "replaced":
                shutil.copy("/bin/true", file)
            elif fate != "deleted":
                file.mkdir()
        assert Finder().version(placed.pid).startswith(version.version)
        require_attachable(attacher, placed, tries)


def test_a_program_of_any_name_on_a_library_of_any_name_is_attached_to(
    version: Interpreter, tries: int, start: Start, attacher: Attacher
) -> None:
    with Installation(version, "my service (deleted)", f"libservic{version.version}.so.1.0") as copy:
        placed = start(copy.interpreter, "busy", environment=copy.environment)
        assert Finder().version(placed.pid).startswith(version.version)
        require_attachable(attacher, placed, tries)


@pytest.mark.parametrize("strip", [stripped, without_sections], ids=["strip", "sstrip"])
def test_a_stripped_program_is_attached_to(
    version: Interpreter, strip: Callable[[Path], None], tries: int, start: Start, attacher: Attacher
) -> None:
    with Installation(version) as copy:
        for file in copy.files:
            strip(file)
        placed = start(copy.interpreter, "busy", environment=copy.environment)
        assert Finder().version(placed.pid).startswith(version.version)
        require_attachable(attacher, placed, tries)


@pytest.mark.parametrize(("flag", "thread"), [("-pie", "main"), ("-no-pie", "another")])
@pytest.mark.parametrize("minor", EMBEDDABLE)
def test_a_program_that_embeds_cpython_is_attached_to(
    interpreters: dict[str, Interpreter],
    minor: str,
    flag: str,
    thread: str,
    tries: int,
    start: Start,
    attacher: Attacher,
    tmp_path: Path,
) -> None:
    interpreter = of_version(interpreters, minor)
    program = compiled_embedder(interpreter, tmp_path, flag)
    if program is None:
        pytest.skip(f"CPython {minor} cannot be embedded on this machine")
    host = replace(interpreter, executable=str(program))
    for name in ("busy", "reading"):
        placed = start(host, name, environment={"EMBEDDED_IN": thread})
        require_attachable(attacher, placed, tries)


@pytest.mark.parametrize("arguments", [(), ("idle",)], ids=["busy", "idle"])
def test_a_process_whose_main_thread_is_none_of_pythons_is_attached_to(
    version: Interpreter, arguments: tuple[str, ...], tries: int, start: Start, attacher: Attacher
) -> None:
    placed = start(version, "mainless", *arguments)
    require_attachable(attacher, placed, tries)


@pytest.mark.parametrize("count", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_of_several_interpreters_the_main_one_is_attached_to(
    interpreter: Interpreter, count: int, tries: int, start: Start, attacher: Attacher
) -> None:
    placed = start(interpreter, "subinterpreters", str(count))
    assert Finder().find(placed.pid, process.mappings(placed.pid)).others() == count
    require_attachable(attacher, placed, tries)


def test_a_main_thread_within_another_interpreter_is_not_borrowed(
    interpreter: Interpreter, start: Start, attacher: Attacher, tries: int
) -> None:
    """What runs there would be the other interpreter's."""
    placed = start(interpreter, "subinterpreters", "1", "inside")
    require_attachable(attacher, placed, tries)
    for _ in range(tries):
        with attached(attacher, placed.pid) as link:
            before = placed.ask_json("state")
            record_calls(link)
            during = placed.ask_json("state")
            detach(link)
        assert (before["tools"], before["profile"]) != (during["tools"], during["profile"])


def test_of_two_libraries_the_one_that_runs_is_found(
    version: Interpreter, interpreters: dict[str, Interpreter], tries: int, start: Start, attacher: Attacher
) -> None:
    other = of_version(interpreters, "3.12" if version.root else version.version)
    folder = Path(version.root or "/") / "tmp"
    library = Path(other.executable).parent.parent / f"lib/libpython{other.version}.so.1.0"
    if not library.exists():
        pytest.skip(f"CPython {other.version} has no library")
    with ExitStack() as made:
        for name in ("alibpython.so", "libpython3.so"):
            copy = folder / f"{os.getpid()}-{name}"
            made.callback(copy.unlink)
            shutil.copy(library, copy)
            placed = start(version, "loading", version.inside(copy))
            require_attachable(attacher, placed, tries)


def test_a_program_that_switched_remote_debugging_off_and_has_no_proc_is_respected(
    interpreters: dict[str, Interpreter], start: Start, attacher: Attacher
) -> None:
    latest = of_version(interpreters, "3.15")
    (without,) = (place for place in PLACES if place.name == "no /proc")
    before = (*without.wrap(latest.root), "env", "PYTHON_DISABLE_REMOTE_DEBUG=1")
    placed = start(latest, "busy", before=before)
    with pytest.raises(NotPermitted, match="remote debugging is disabled"):
        attach(attacher, placed.pid)
    require_progress(placed)


def test_a_helper_that_met_a_program_that_lies_serves_on(
    local_interpreter: Interpreter, start: Start, attacher: Attacher, tmp_path: Path
) -> None:
    with subprocess.Popen(lying_program(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as liar:
        assert liar.stdout is not None
        assert liar.stdout.readline() == b"ready\n"
        (helper,) = attacher.helper_pids
        before_kib = resident_kib(helper)
        with pytest.raises(NotSupported):
            attach(attacher, liar.pid)
        assert attacher.helper_pids == (helper,)
        assert resident_kib(helper) - before_kib < MEMORY_LIMIT_KIB
        assert liar.poll() is None
        liar.kill()
    require_attachable(attacher, start(local_interpreter, "busy"))
