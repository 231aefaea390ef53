"""Imports go one way: the table of ARCHITECTURE.md, held against every import, those inside functions too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SOURCE_ROOTS = ("daemon", "client", "proto", "inprocess")

GRPC = ("grpc", "grpc_health", "grpc_status")

EXECD_WITHOUT_MAIN = (
    "execd.__version__",
    "execd.config",
    "execd.errors",
    "execd.model",
    "execd.attach",
    "execd.sessions",
    "execd.store",
    "execd.reports",
    "execd.imports",
)

# Package: what it may import beside the standard library and itself. A module belongs to its longest prefix.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "execd_agent": (),
    "execd_api": ("google.protobuf", *GRPC),
    # The command line and the values of the API know neither grpc nor the contract.
    "execctl": ("click",),
    "execctl.answers": ("execctl", *GRPC),
    "execctl.convert": ("execctl", "execd_api.v1"),
    # Of protobuf the error alone, which an error detail that does not decode raises.
    "execctl.failure": ("execctl", "execd_api.v1", "google.protobuf.message.DecodeError", *GRPC),
    "execctl.library": ("execctl", "execd_api.v1"),
    "execctl.rpc": ("execctl", "execd_api.v1", *GRPC),
    "execd.errors": (),
    "execd.model": ("execd.errors",),
    "execd.config": ("execd.errors",),
    "execd.logs": ("execd.errors",),
    "execd.descriptors": (),
    "execd.endings": (),
    "execd.instance": ("execd.errors", "execd.config"),
    "execd.keeping": ("execd.errors", "execd.config", "execd.model"),
    "execd.launcher": ("execd.errors", "execd.config", "execd.instance", "execd.logs"),
    "execd.imports": ("execd.model", "execd.errors"),
    "execd.reports": ("execd.model", "execd.errors", "execd_api.pprof"),
    # A format that is a database of its own.
    "execd.reports.lines.coverage_data": ("execd.reports", "execd.model", "execd.errors"),
    "execd.store": ("execd.model", "execd.errors"),
    "execd.attach": ("execd.model", "execd.errors", "execd_agent.wire", "execd._coretables", "psutil"),
    "execd.sampling": ("execd.model", "execd.errors", "execd.attach", "execd._sampler"),
    "execd.sessions": ("execd.model", "execd.errors", "execd.attach", "execd.sampling", "execd.store"),
    "execd.rpc": (*EXECD_WITHOUT_MAIN, "execd_api", *GRPC),
    "execd.cli": (
        *(f"execd.{name}" for name in ("__version__", "config", "errors", "instance", "keeping", "launcher", "rpc")),
        "click",
    ),
    "execd.__main__": ("execd",),
}

# Modules that one package alone may import, though the standard library or the table would permit more.
ONLY_IN = {
    "sqlite3": ("execd.store", "execd.reports.lines.coverage_data"),
    "grpc": ("execd.rpc", "execctl.answers", "execctl.failure", "execctl.rpc", "execd_api"),
    "execd_api.v1": (
        *("execctl.convert", "execctl.failure", "execctl.library", "execctl.rpc"),
        *("execd.rpc", "execd_api"),
    ),
}

# Where text goes to a terminal: the command line of execd is too small for an output module.
MAY_PRINT = ("execctl.output", "execd.cli", "execd.__main__")
PRINTING = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}


def module_name(path: Path) -> str:
    """The import name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    """Every module that is written by hand."""
    paths = (path for root in SOURCE_ROOTS for path in (ROOT / root).rglob("*.py"))
    return {module_name(path): path for path in paths if "_pb2" not in path.name and "native" not in path.parts}


MODULES = sources()


def within(module: str, package: str) -> bool:
    """Whether a module is a package or lies in it."""
    return module == package or module.startswith(package + ".")


def package_of(module: str) -> str | None:
    """The row of the table that a module belongs to."""
    return max((package for package in MAY_IMPORT if within(module, package)), key=len, default=None)


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    """The dotted names that a module imports: "a.b" for `from a import b`; relative ones are resolved."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                above = module.split(".")[: -level or None] if level else []
                start = ".".join([*above, *([origin] if origin else [])])
                yield from (f"{start}.{alias.name}" for alias in names)


def is_permitted(imported: str, package: str) -> bool:
    """Whether the table lets a package import a name."""
    if imported.split(".")[0] in sys.stdlib_module_names:
        return True
    return any(within(imported, permitted) for permitted in (package, *MAY_IMPORT[package]))


def layering_faults(source: str, module: str) -> list[str]:
    """What a module imports against the table."""
    package = package_of(module)
    if package is None:
        # The package itself holds its version, and no row of the table is about it.
        return [] if module == "execd" else [f"{module} has no row in the table"]
    faults = []
    for imported in imports(ast.parse(source), module):
        kept = [name for name, owners in ONLY_IN.items() if within(imported, name) and package not in owners]
        if kept or not is_permitted(imported, package):
            faults.append(f"{module} imports {imported}")
    return faults


def printing_calls(source: str, module: str) -> list[str]:
    """The calls of a module that write to a terminal where it may not."""
    if module in MAY_PRINT:
        return []
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    named = ((call.lineno, ast.unparse(call.func)) for call in calls)
    return [f"{module}:{line} calls {name}" for line, name in named if name in PRINTING]


def test_every_module_imports_what_the_table_permits() -> None:
    assert [fault for name, path in MODULES.items() for fault in layering_faults(path.read_text("utf-8"), name)] == []


def test_only_the_output_module_prints() -> None:
    assert [call for name, path in MODULES.items() for call in printing_calls(path.read_text("utf-8"), name)] == []


def test_every_row_of_the_table_is_about_a_module_that_exists() -> None:
    assert [row for row in MAY_IMPORT if not any(within(module, row) for module in MODULES)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("execd_agent.agent", "import execd.model"),
        ("execd_agent.agent", "def f():\n    import psutil"),
        ("execctl.cli", "from execd import errors"),
        ("execctl.cli", "from execd_api.pprof import profile_pb2"),
        ("execd.model.target", "from execd.store import store"),
        ("execd.sessions.session", "from ..rpc import server"),
        ("execd.sessions.session", "from .. import rpc"),
        ("execd.sessions.registry", "import sqlite3"),
        ("execd.attach.channel", "from execd_agent import agent"),
        ("execd.rpc.server", "from execd import __main__"),
        ("execctl.commands.ps", "from execd_api.v1 import targets_pb2"),
        ("execctl.client", "import grpc"),
        ("execd.somewhere", "import grpc"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(layering_faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("execd.attach.channel", "from execd_agent import wire"),
        ("execd.attach.channel", "from execd_agent.wire import Frame"),
        ("execd.sessions.session", "from . import state"),
        ("execd.store.store", "import sqlite3"),
        ("execd.rpc.reports", "from execd_api.v1 import reports_pb2"),
    ],
)
def test_a_permitted_import_is_not_found(module: str, source: str) -> None:
    assert layering_faults(source, module) == []


def test_a_print_is_found() -> None:
    assert printing_calls("def f():\n    sys.stdout.write('x')", "execd.rpc.server") != []


def test_the_command_line_is_there_without_grpc() -> None:
    program = "import sys, execctl.cli; sys.exit(sorted(name for name in sys.modules if 'grpc' in name) or 0)"
    environment = {"PYTHONPATH": f"{ROOT / 'client'}:{ROOT / 'proto'}"}
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
