"""The text that is injected, and the agent's modules as the bytes that follow it over the link."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from execd.attach import bytecode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_PACKAGE = "execd_agent"
# Where they go while a program is put together: a name that nothing in it has.
_SETTINGS = "__execd_settings__"
_INJECTED = ("launch", "handback", "bootstrap")
# Runs in __main__'s namespace or in a fresh one and looks up no name there: a program may define its own `exec`. The
# import system's own namespace is reached from a literal.
_FROZEN = (
    "[c for c in ().__class__.__base__.__subclasses__()if c.__name__=='BuiltinImporter']"
    "[0].find_spec.__func__.__globals__"
)


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's sources, ready to be sent.

    Attributes:
        launch, handback, bootstrap: the files that are injected, stripped.
        sources: the text of all other modules by name, stripped.
        bytecode: both compiled, by minor version; see bytecode.py.
        sources_literal: the sources as they are sent.
        programs: what is injected, by minor version, and for all others as None; the settings go between the pieces.
    """

    launch: str
    handback: str
    bootstrap: str
    sources: Mapping[str, str]
    bytecode: Mapping[tuple[int, int], bytecode.Compiled]
    sources_literal: bytes = field(init=False)
    programs: Mapping[tuple[int, int] | None, list[bytes]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources_literal", repr(dict(self.sources)).encode())
        object.__setattr__(self, "programs", {version: _program(self, version) for version in (None, *self.bytecode)})


def read_agent() -> Agent:
    """Return the agent that is installed beside us."""
    package = resources.files(_PACKAGE)
    launch, handback, bootstrap = (stripped_source(name) for name in _INJECTED)
    return Agent(launch, handback, bootstrap, dict(_modules(package, _PACKAGE)), bytecode.read(package))


def bundle(agent: Agent, version: tuple[int, int]) -> bytes:
    """Return what follows the injected text over the link: the bytecode, or where there is none the sources.

    Their sizes come first, 8 hexadecimal digits each. An agent whose interpreter's bytecode is another one, that of a
    pre-release, asks for the sources.
    """
    found = agent.bytecode.get(version)
    compiled = found.modules if found else b""
    return b"%08x%08x" % (len(compiled), len(agent.sources_literal)) + (compiled or agent.sources_literal)


def injected_text(agent: Agent, version: tuple[int, int], settings: Mapping[str, object]) -> bytes:
    """Return the program that starts the agent, as a NUL-terminated C string.

    Args:
        agent: its sources.
        version: of the target, (3, 11).
        settings: numbers and texts for bootstrap.py; they are all that varies.
    """
    pieces = agent.programs[version if version in agent.programs else None]
    return repr(dict(settings)).encode().join(pieces)


def _program(agent: Agent, version: tuple[int, int] | None) -> list[bytes]:
    """Return the program in pieces, between which the settings go.

    What is compiled in the interrupted thread holds it up, so bytecode is taken where there is any for the interpreter.
    """
    found = agent.bytecode.get(version) if version else None
    launch = _code(found.launch, found.magic, agent.launch) if found else repr(agent.launch)
    bootstrap = _code(found.bootstrap, found.magic, agent.bootstrap) if found else repr(agent.bootstrap)
    values = f"'bootstrap':{bootstrap},'settings':{_SETTINGS}"
    again = f"'launch':{agent.launch!r},'bootstrap':{agent.bootstrap!r},'settings':{_SETTINGS}"
    # It never raises: out of a pending call that would be a SystemError of the target's.
    hand_back = f" try:\n  {_run(repr(agent.handback), again)}\n except:\n  pass\n"
    program = f"try:\n {_run(launch, values)}\nexcept:\n{hand_back}\0"
    return program.encode().split(_SETTINGS.encode())


def _code(stored: bytes, magic: bytes, source: str) -> str:
    """Return the expression of a code object, or of its source where the interpreter's bytecode is another one."""
    external = "g['_bootstrap_external']"
    return f"({external}.marshal.loads({stored!r})if {external}.MAGIC_NUMBER=={magic!r}else {source!r})"


def _run(code: str, values: str = "") -> str:
    names = "{'__builtins__':g['__builtins__'],'frozen':g," + values + "}"
    return f"(lambda g:g['__builtins__']['exec']({code},{names}))({_FROZEN})"


def stripped_source(module: str) -> str:
    """Return a file of the agent without docstrings, comments, annotations and the __future__ import."""
    return _stripped((resources.files(_PACKAGE) / f"{module}.py").read_text(encoding="utf-8"))


def _stripped(source: str) -> str:
    # What is not there the target need not compile: it does so holding its GIL.
    return ast.unparse(ast.fix_missing_locations(_Stripper().visit(ast.parse(source))))


def _modules(folder: Traversable, package: str) -> list[tuple[str, str]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py") and entry.name[:-3] not in _INJECTED:
            name = package if entry.name == "__init__.py" else f"{package}.{entry.name[:-3]}"
            found.append((name, _stripped(entry.read_text(encoding="utf-8"))))
        elif entry.is_dir() and entry.name != "__pycache__":
            found += _modules(entry, f"{package}.{entry.name}")
    return found


class _Stripper(ast.NodeTransformer):
    """Removes what the target need not parse, and what it would have to import for it."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.Assign(targets=[node.target], value=node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return node

    def _without_docstring(self, node: ast.FunctionDef | ast.ClassDef | ast.Module) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)
