"""The size of functions and files, and what no file of the project may hold."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parent.parent
FOLDERS = ("daemon", "client", "proto", "inprocess", "tests", "benchmarks", "docs", ".ci")
NOT_SOURCE = {"__pycache__", "build", ".hypothesis"}
TEXT_SUFFIXES = {".py", ".pyi", ".c", ".h", ".md", ".toml", ".proto", ".sql", ".in", ""}

FUNCTION_LINES = 60
FILE_LINES = {".py": 400, ".c": 500, ".h": 500}
ARCHITECTURE_LINES = 150

# In pieces, so that this file does not hold what it forbids. A folder of that name below another is no fault.
MACHINE_PATH = re.compile(r"(?<![\w.}\])>])/(?:root|work)/")
REGISTRY_HOST = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("deb", "debian", "org"),
            ("ftp", "debian", "org"),
            ("proxy", "golang", "org"),
            ("npmjs", "org"),
        )
    )
)


def project_files() -> list[Path]:
    """Every text file of the project, as a clone has it."""
    inside = itertools.chain.from_iterable((ROOT / folder).rglob("*") for folder in FOLDERS)
    return [
        path
        for path in (*ROOT.iterdir(), *inside)
        if path.is_file() and path.suffix in TEXT_SUFFIXES and not is_made(path.relative_to(ROOT))
    ]


def is_made(path: Path) -> bool:
    """Whether a tool made a file of this name."""
    return not NOT_SOURCE.isdisjoint(path.parts) or ".egg-info" in str(path) or path.name == ".git"


FILES = {str(path.relative_to(ROOT)): path for path in sorted(project_files())}
WRITTEN = [name for name in FILES if "_pb2" not in name]


def python_function_lengths(source: str) -> dict[str, int]:
    """The functions of a Python file and how many lines each has, decorators left out."""
    nodes = list(ast.walk(ast.parse(source)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {f"{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1 for node in functions}


def c_function_lengths(source: str) -> dict[str, int]:
    """The functions of a C file and how many lines each body has: from a `{` to a `}` in column 0."""
    lengths = {}
    start = 0
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith("{") or (line[:1].isidentifier() and line.endswith(") {")):
            start = number
        elif line == "}" and start:
            lengths[f"line {start}"] = number - start + 1
            start = 0
    return lengths


def long_functions(name: str, source: str) -> dict[str, int]:
    """The functions of a file that are too long."""
    lengths = python_function_lengths(source) if name.endswith(".py") else c_function_lengths(source)
    return {function: lines for function, lines in lengths.items() if lines > FUNCTION_LINES}


def faulty(faults: Callable[[str, str], Any], names: Iterable[str]) -> dict[str, Any]:
    """The faults of each file that has some.

    Args:
        faults: of a file's name and its text.
        names: of the files.
    """
    assert names
    found = {name: faults(name, FILES[name].read_text("utf-8")) for name in names}
    return {name: fault for name, fault in found.items() if fault}


def too_many_lines(name: str, source: str) -> int:
    """By how many lines a file is too long, 0 where it is not."""
    return max(len(source.splitlines()) - FILE_LINES[FILES[name].suffix], 0)


def test_no_function_is_too_long() -> None:
    assert faulty(long_functions, [name for name in WRITTEN if name.endswith((".py", ".c"))]) == {}


def test_no_file_is_too_long() -> None:
    assert faulty(too_many_lines, [name for name in WRITTEN if FILES[name].suffix in FILE_LINES]) == {}


def test_the_architecture_is_read_in_one_sitting() -> None:
    assert len(FILES["ARCHITECTURE.md"].read_text("utf-8").splitlines()) <= ARCHITECTURE_LINES


def test_no_file_names_a_path_of_one_machine() -> None:
    assert faulty(lambda _, source: MACHINE_PATH.findall(source), FILES) == {}


def test_no_file_names_a_registry() -> None:
    assert faulty(lambda _, source: REGISTRY_HOST.findall(source), FILES) == {}


def test_a_long_python_function_is_found() -> None:
    source = "async def f():\n" + "    pass\n" * FUNCTION_LINES
    assert long_functions("a.py", source) == {"f:1": FUNCTION_LINES + 1}


@pytest.mark.parametrize("head", ["static int f(void)\n{\n", "static int f(void) {\n"], ids=["below", "beside"])
def test_a_long_c_function_is_found(head: str) -> None:
    source = head + "    ;\n" * FUNCTION_LINES + "}\n"
    assert list(long_functions("a.c", source).values()) == [FUNCTION_LINES + 2]


def test_a_path_of_one_machine_is_found_and_one_below_a_process_is_not() -> None:
    folder = "root"
    assert MACHINE_PATH.search(f"see /{folder}/data") is not None
    assert MACHINE_PATH.search(f"/proc/1/{folder}/data") is None
