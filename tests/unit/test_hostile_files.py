"""Files, memory maps and roots that mean harm: refused as what they are, in little memory and time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elf_lies import INIT, LIES, LIES_OF_FILES, WHOLE, lying_program, read, read_loaded
from execd.attach import process
from execd.attach.images import ImageReader, candidates
from execd.attach.interpreter import Finder
from execd.attach.memory import Memory
from execd.errors import NotSupported
from processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreters import Interpreter

MEMORY_LIMIT = 64 << 20
TIME_LIMIT_S = 3.0
WAITING = "import sys; print('ready', flush=True); sys.stdin.read()"

# One look at a process in another one, under a limit of memory: what it takes beyond a Python that has imported us.
LOOKING = """
import resource, sys, time
from execd.attach import process
from execd.attach.interpreter import Finder
from execd.errors import ExecdError
pid, limit = int(sys.argv[1]), int(sys.argv[2])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
began = time.process_time()
try:
    found = Finder().find(pid, process.mappings(pid))
    said = "found " + found.version_text
except ExecdError as error:
    said = type(error).__name__ + " " + error.message
print(time.process_time() - began, said)
"""


def looked_at(pid: int) -> str:
    """What a look at a process says, within the limits of memory and time; anything else than an ExecdError fails."""
    command = [sys.executable, "-c", LOOKING, str(pid), str(MEMORY_LIMIT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    seconds, _, said = done.stdout.strip().partition(" ")
    assert float(seconds) < TIME_LIMIT_S
    return said


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_at_once(lie: str) -> None:
    data = LIES[lie]()
    began = time.process_time()
    image = read(data)
    assert image is None or INIT not in image.symbols
    loaded = read_loaded(data)
    assert loaded is None or lie in LIES_OF_FILES or INIT not in loaded.symbols
    assert time.process_time() - began < TIME_LIMIT_S


def test_a_file_and_its_memory_say_the_same() -> None:
    with running(sys.executable, "-c", "import _json\n" + WAITING) as pid:
        rows = next(rows for rows in candidates(process.mappings(pid), ("_json",)) if "_json" in rows[0].path)
        reader = ImageReader(("PyInit__json", "nothing"), ())
        assert reader.loaded(Memory(pid), rows) == reader.read(pid, rows)


MAPPING = """
import ctypes, mmap, os, sys
kept = []
for path in map(os.fsencode, sys.argv[1:]):
    file = os.open(path, os.O_RDONLY)
    kept.append(mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC))
"""
NAMES_OF_FILES = (
    "lib python.so",
    "libpython3.12.so (deleted)",
    "libpython\n7f0000000000-7f0000001000 r-xp 00000000 08:01 42 libpython3.so",
    "libpython\\012.so",
    "libpython\udcff\u202e\x1b[2J.so",
    "python" + "n" * 240,
)


def test_a_process_that_maps_files_of_strange_names_is_what_it_is(tmp_path: Path) -> None:
    # Nearly as long as a path can be, 4,095 bytes.
    deep = tmp_path.joinpath(*[" \u202e\n" + "d" * 240] * 15)
    deep.mkdir(parents=True)
    paths = [*(tmp_path / name for name in NAMES_OF_FILES), deep / "libpython3.so"]
    for number, path in enumerate(paths):
        path.write_bytes((list(LIES.values())[number % len(LIES)]() if number % 2 else WHOLE).ljust(4096, b"\0"))
    with running(sys.executable, "-c", MAPPING + WAITING, *map(str, paths)) as pid:
        assert looked_at(pid) == f"found {sys.version.split()[0]}"
        for path in paths:
            path.unlink()
        assert looked_at(pid) == f"found {sys.version.split()[0]}"


CROWDING = """
import ctypes, os, sys
mmap = ctypes.CDLL(None).mmap
mmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_size_t]
mmap.restype = ctypes.c_size_t
file = os.open(sys.argv[1], os.O_RDONLY)
for number in range(30000):
    assert mmap(0, 4096, 1 | number % 2 * 4, 2, file, 0) < 1 << 63
"""


def test_a_process_of_tens_of_thousands_of_mappings_is_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / ("libpython" + "n" * 200)
    path.write_bytes(WHOLE.ljust(4096, b"\0"))
    with running(sys.executable, "-c", CROWDING + WAITING, str(path)) as pid:
        assert len(process.mappings(pid)) > 30_000
        assert looked_at(pid) == f"found {sys.version.split()[0]}"


LARGE = """
import ctypes, os, sys
mmap = ctypes.CDLL(None).mmap
mmap.argtypes = [ctypes.c_size_t, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_size_t]
mmap.restype = ctypes.c_size_t
file = os.open(sys.argv[1], os.O_RDONLY)
assert mmap(0, 1 << 33, 5, 2, file, 0) < 1 << 63
"""


def test_of_a_mapping_of_gigabytes_little_is_read(tmp_path: Path) -> None:
    """It is named as what is looked through for the C library's code."""
    path = tmp_path / "libc.so"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with running(sys.executable, "-c", LARGE + WAITING, str(path)) as pid:
        assert looked_at(pid) == f"found {sys.version.split()[0]}"


def crowd(count: int, path: bytes) -> Iterator[bytes]:
    return (b"%x-%x r-xp 00000000 08:01 42   %b%d\n" % (n << 12, (n + 1) << 12, path, n) for n in range(count))


@pytest.mark.parametrize(("count", "length"), [(1 << 18, 10), (100_000, 4000)])
def test_a_memory_map_without_bounds_is_refused(count: int, length: int) -> None:
    began = time.process_time()
    with pytest.raises(NotSupported, match="memory map"):
        process.parse_mappings(crowd(count, b"/" + b"x" * length))
    assert time.process_time() - began < TIME_LIMIT_S


def test_a_hundred_thousand_mappings_are_read() -> None:
    assert len(process.parse_mappings(crowd(100_000, b"/lib"))) == 100_000


SPARSE = 1 << 40


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "sparse", "link", "proc"])
def test_what_lies_where_the_library_was_is_not_read(tmp_path: Path, kind: str, local_interpreter: Interpreter) -> None:
    """The version is told from a file where that is still the mapped one, else from memory."""
    folder = tmp_path / "bin"
    folder.mkdir()
    copy = folder / "python"
    shutil.copy(local_interpreter.executable, copy)
    library = next(Path(local_interpreter.executable).parent.parent.glob("lib/libpython3.*.so.1.0"), None)
    if library is None:
        pytest.skip("this interpreter has no library of its own")
    shutil.copy(library, folder)
    mapped = folder / library.name
    environment = {"LD_LIBRARY_PATH": str(folder), "PYTHONHOME": str(library.parent.parent)}
    with running("env", *(f"{name}={value}" for name, value in environment.items()), str(copy), "-c", WAITING) as pid:
        mapped.unlink()
        put(mapped, kind)
        began = time.process_time()
        assert Finder().version(pid) == sys.version.split()[0]
        assert looked_at(pid) == f"found {sys.version.split()[0]}"
        assert time.process_time() - began < TIME_LIMIT_S


def put(path: Path, kind: str) -> None:
    """Something that must not be read, or cannot be, where a file was."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(SPARSE)
    else:
        path.symlink_to({"device": "/dev/zero", "link": path, "proc": "/proc/kcore"}[kind])


def test_a_program_that_is_none_of_pythons_and_lies_about_it_is_refused(tmp_path: Path) -> None:
    """What it has loaded by name is CPython's and lies."""
    with running(*lying_program(tmp_path)) as pid:
        assert looked_at(pid).startswith("NotSupported")
        assert Finder().version(pid) == ""
