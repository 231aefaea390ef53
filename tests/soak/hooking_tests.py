"""Hooking tests: those of CPython's own that set a profile or trace function, or use sys.monitoring, themselves."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreters import Interpreter

HOOKS = {
    "setprofile",
    "getprofile",
    "settrace",
    "gettrace",
    "monitoring",
    "setprofile_all_threads",
    "settrace_all_threads",
}
FOLDER = "import test; print(test.__path__[0])"
FOLDER_TIMEOUT_S = 60


def hooking_tests(interpreter: Interpreter, suite: str) -> list[str]:
    """Return the tests of a suite whose source names a hook, as "file.Class.test"."""
    done = subprocess.run(
        [*interpreter.argv, "-I", "-c", FOLDER], capture_output=True, text=True, timeout=FOLDER_TIMEOUT_S, check=True
    )
    folder = Path(interpreter.root or "/") / done.stdout.strip().lstrip("/")
    files = sorted((folder / suite).rglob("*.py")) or [folder / f"{suite}.py"]
    return [f"{file.stem}.{name}" for file in files for name in named(ast.parse(file.read_bytes()))]


def named(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """The functions of a tree that name a hook, with the classes that they are of."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.ClassDef(name=name):
                yield from named(node, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if names(node) & HOOKS:
                yield prefix + name


def names(tree: ast.AST) -> set[str]:
    """All attributes, names and words of texts in a tree: some tests are programs in a text."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                found.add(name)
            case ast.Constant(value=str(text)):
                found.update(hook for hook in HOOKS if f"{hook}(" in text or f"sys.{hook}" in text)
    return found
