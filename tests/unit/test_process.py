"""What /proc and the target's file system tell, hostile names and files first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.attach import process, rootfs
from execd.attach.interpreter import Finder
from execd.errors import TargetGone
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreters import Interpreter

WAITING = "import sys; print('ready', flush=True); sys.stdin.read()"
NAMING = """
import sys
open("/proc/self/comm", "wb").write(bytes.fromhex(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""
MAP = "7f0000000000-7f0000001000 r-xp 00001000 08:01 42"


@contextmanager
def running(*command: str, **more: object) -> Iterator[int]:
    """A process that waits for the end of its stdin, once it has said a line."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more) as program:  # type: ignore[call-overload]
        assert program.stdout.readline() == b"ready\n"
        try:
            yield program.pid
        finally:
            program.kill()


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", *arguments)


def mappings_of(text: str) -> list[process.Mapping]:
    return process.parse_mappings(os.fsencode(text).splitlines(keepends=True))


PATHS = {
    "/usr/lib/libc.so.6": "/usr/lib/libc.so.6",
    "/with space/and  two": "/with space/and  two",
    "/two\\012lines": "/two\\012lines",
    "/undecodable\udcff": "/undecodable\udcff",
    "/lib.so (deleted)": "/lib.so (deleted)",
    "/\u202ereversed\x1b[2J": "/\u202ereversed\x1b[2J",
    "[stack]": "[stack]",
    "": "",
    "/7f0000000000-7f0000001000 rwxp 0 0:0 1 /x": "/7f0000000000-7f0000001000 rwxp 0 0:0 1 /x",
    "/with\x1c\x85\u2028separators": "/with\x1c\x85\u2028separators",
}


@pytest.mark.parametrize("path", PATHS)
def test_a_mapping_has_the_path_that_the_kernel_wrote(path: str) -> None:
    (found,) = process.parse_mappings([os.fsencode(f"{MAP}     {path}\n")])
    assert found.path == PATHS[path]
    assert (found.start, found.end, found.offset, found.inode) == (0x7F0000000000, 0x7F0000001000, 0x1000, 42)
    assert found.executable


@pytest.mark.parametrize("line", ["", "x", "7f-8f", MAP.replace("r-xp", "r-x"), MAP.replace("-", "+"), "\0" * 100])
def test_a_line_that_is_no_mapping_is_left_out(line: str) -> None:
    assert mappings_of(line + "\n" + MAP) == mappings_of(MAP)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_is_mappings_or_nothing(text: str) -> None:
    for found in mappings_of(text):
        assert found.start >= 0
        assert "\n" not in found.path


# At most 15 bytes: what would be fields of their own if a name were not one line.
NAMES = (b"a) R 1 2 3 (", b"x\nUid:\t0\t0", b"\x1cState:\tZ", b"\xc2\x85TracerPid:\t9", b"\xff\xfe", b" ")


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_of_a_process_changes_nothing_else(name: bytes) -> None:
    with running(*python(WAITING)) as pid:
        usual = process.status(pid)
    with running(*python(NAMING, name.hex())) as pid:
        facts = process.status(pid)
        assert (facts.uid, facts.effective_uid, facts.tracer_pid) == (usual.uid, usual.effective_uid, 0)
        assert facts.state in "RS"
        assert facts.seccomp == usual.seccomp
        assert process.start_ticks(pid) > 0
        assert process.target_key(pid).pid == pid


def test_a_command_line_is_what_was_given() -> None:
    words = ("", "with space", "two\nlines", "\udcff", "")
    with running(*python(WAITING, *words, "end")) as pid:
        assert process.command_line(pid)[3:] == (*words, "end")


def test_an_environment_is_what_was_given() -> None:
    with running(*python(WAITING), env={"A": "1=2", "B": "", "C": "two\nlines"}) as pid:
        assert {**process.environment(pid), "LC_CTYPE": ""} == {"A": "1=2", "B": "", "C": "two\nlines", "LC_CTYPE": ""}


def test_the_main_thread_is_the_first_of_the_threads() -> None:
    starting = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    several = f"import threading\nfor _ in range(3): {starting}\n"
    with running(*python(several + WAITING)) as pid:
        found = process.threads(pid)
    assert found[0] == pid
    assert len(found) == 4


def test_of_a_process_that_ended_everything_is_a_target_gone() -> None:
    with subprocess.Popen(["true"]) as program:
        pid = program.pid
    for ask in (process.status, process.start_ticks, process.mappings, process.threads, process.open_files):
        with pytest.raises(TargetGone, match=f"{pid} has ended"):
            ask(pid)


def test_a_kernel_thread_or_a_zombie_has_no_command_line() -> None:
    with subprocess.Popen(["true"]) as program:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        assert process.command_line(program.pid) == ()


def test_an_interpreter_in_a_folder_of_a_hostile_name_is_found(tmp_path: Path, local_interpreter: Interpreter) -> None:
    folder = tmp_path / "with space (deleted) \x1b[2J"
    folder.mkdir()
    copy = folder / "my python"
    shutil.copy(local_interpreter.executable, copy)
    home = str(Path(local_interpreter.executable).parent.parent)
    with running(str(copy), "-c", WAITING, env={**os.environ, "PYTHONHOME": home}) as pid:
        assert Finder().find(pid, process.mappings(pid)).version == sys.version_info[:2]


def test_a_regular_file_is_opened() -> None:
    with running(*python(WAITING)) as pid:
        descriptor = rootfs.open_in_root(pid, os.path.realpath(sys.executable))
    assert os.read(descriptor, 4) == b"\x7fELF"
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["fifo", "folder", "nothing", "device", "proc"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = {"device": Path("/dev/zero"), "proc": Path("/proc/self/exe")}.get(kind, tmp_path / kind)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with running(*python(WAITING)) as pid, pytest.raises(FileNotFoundError):
        rootfs.open_in_root(pid, str(path))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((512 << 20) + 1)
    with running(*python(WAITING)) as pid, pytest.raises(FileNotFoundError, match="512 MiB"):
        rootfs.open_in_root(pid, str(large))


@pytest.mark.skipif(os.geteuid() != 0, reason="another root needs the right to chroot")
@pytest.mark.parametrize("link", ["/absolute", "/up", "/magic"])
def test_a_link_in_another_root_does_not_lead_out_of_it(tmp_path: Path, link: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("the host's")
    (root / "secret").write_text("the target's")
    (root / "absolute").symlink_to("/secret")
    (root / "up").symlink_to("../../../../secret")
    (root / "magic").symlink_to("/proc/1/root" + str(tmp_path / "secret"))
    chrooted = "import os, sys; os.chroot(sys.argv[1]); os.chdir('/'); " + WAITING.partition("; ")[2]
    with running(*python(chrooted, str(root))) as pid:
        assert rootfs.in_other_root(pid)
        if link == "/magic":
            with pytest.raises(FileNotFoundError):
                rootfs.open_in_root(pid, link)
            return
        descriptor = rootfs.open_in_root(pid, link)
    assert os.read(descriptor, 100) == b"the target's"
    os.close(descriptor)


def test_a_root_that_is_ours_is_no_other() -> None:
    with running(*python(WAITING)) as pid:
        assert not rootfs.in_other_root(pid)


def test_a_size_that_is_unlimited_is_a_large_one() -> None:
    with running("sh", "-c", 'ulimit -s unlimited && exec "$@"', "sh", *python(WAITING)) as pid:
        assert process.stack_limit(pid) >= 8 << 20
