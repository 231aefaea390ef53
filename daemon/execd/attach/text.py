"""The text that is injected, and the agent's modules as the bytes that follow it over the link."""

from __future__ import annotations

import ast
import struct
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from execd_agent import wire

from execd.attach import bytecode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_CORE = "_core.abi3.so"
_ELF, _ELF_HEAD = b"\x7fELF", 64
_PACKAGE = "execd_agent"
# Where they go while a program is put together: a name that nothing in it has.
_SETTINGS = "__execd_settings__"
# One text: launch.py is the last of it.
_LAUNCH = ("replaced", "unheard", "launch")
_INJECTED = (*_LAUNCH, "handback", "bootstrap")
# Goes into the archive of a program that is started (startup.py).
_STARTUP = "startup"
# Runs in __main__'s namespace or in a fresh one and looks up no name there: a program may define its own `exec`. The
# import system's own namespace is reached from a literal, as is what calls a code object: a program may replace that of
# builtins too.
_FROZEN = (
    "[c for c in ().__class__.__base__.__subclasses__()if c.__name__=='BuiltinImporter']"
    "[0].find_spec.__func__.__globals__"
)
_FUNCTION = "(lambda:0).__class__"
_ASCII, _HIGH_HALF = 128, 256
_NOT_IN_LITERALS = b"\0\n\r'\\"
_COMPILE = "g['__builtins__']['compile']"
_IS_ORIGINAL = ".__class__ is''.join.__class__"
# Without the function that compiles there is no launch.py that would look at the others.
_REFUSAL = {
    "refused": True,
    "message": "the program has replaced functions that all code uses: compile",
}


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
    launch = "\n".join(map(stripped_source, _LAUNCH))
    handback, bootstrap = map(stripped_source, _INJECTED[len(_LAUNCH) :])
    return Agent(launch, handback, bootstrap, dict(_modules(package, _PACKAGE)), bytecode.read(package))


def read_core() -> bytes | None:
    """Return the native core that is installed beside us, None where there is none, or a part of one."""
    core = resources.files(_PACKAGE) / _CORE
    content = core.read_bytes() if core.is_file() else b""
    return content if is_whole(content) else None


def is_whole(content: bytes) -> bool:
    """Whether a shared object has all that its head says: where a part is missing its loader ends its process (SIGBUS).

    Its section headers are the last of it (ELF64: e_shoff, e_shentsize, e_shnum).
    """
    if len(content) < _ELF_HEAD or not content.startswith(_ELF):
        return False
    (start,), (size, count) = struct.unpack_from("<Q", content, 40), struct.unpack_from("<HH", content, 58)
    return bool(start + size * count == len(content))


def bundle(agent: Agent, version: tuple[int, int]) -> bytes:
    """Return what follows the injected text over the link: the bytecode, or where there is none the sources.

    An agent whose interpreter's bytecode is another one, that of a pre-release, asks for the sources.
    """
    found = agent.bytecode.get(version)
    return found.modules if found else agent.sources_literal


def injected_text(agent: Agent, version: tuple[int, int], settings: Mapping[str, object]) -> bytes:
    """Return the program that starts the agent, as a NUL-terminated C string.

    Args:
        agent: its sources.
        version: of the target, (3, 11).
        settings: numbers and texts for bootstrap.py; with the sizes of what follows they are all that varies.
    """
    pieces = agent.programs[version if version in agent.programs else None]
    found = agent.bytecode.get(version)
    sizes = (len(found.modules) if found else 0, len(agent.sources_literal))
    return repr({**settings, "sizes": sizes}).encode().join(pieces)


def _program(agent: Agent, version: tuple[int, int] | None) -> list[bytes]:
    """Return the program in pieces, between which the settings go.

    What is compiled in the interrupted thread holds it up, so bytecode is taken where there is any for the interpreter.
    """
    found = agent.bytecode.get(version) if version else None
    launch, bootstrap = _compiled(agent.launch), _literal(agent.bootstrap.encode())
    again = f"'launch':{_literal(agent.launch.encode())},'bootstrap':{bootstrap},'settings':{_SETTINGS}"
    if found:
        launch, bootstrap = _code(found.launch, found.magic), _code(found.bootstrap, found.magic)
    values = f"'bootstrap':{bootstrap},'settings':{_SETTINGS}"
    # It never raises: out of a pending call that would be a SystemError of the target's.
    hand_back = f"{_run(_compiled(agent.handback), again)}if {_COMPILE}{_IS_ORIGINAL} else {_refused()}"
    program = (
        f"try:\n {_within_own(_run(launch, values))}\nexcept:\n try:\n  {_within(hand_back)}\n except:\n  pass\n\0"
    )
    return program.encode().split(_SETTINGS.encode())


def _code(stored: bytes, magic: bytes) -> str:
    """Return the expression of a code object, None where the interpreter's bytecode is another one.

    With None the text comes to its except clause, and handback.py runs the sources.
    """
    loads = "g['_bootstrap_external'].marshal.loads"
    fits = f"g['_bootstrap_external'].MAGIC_NUMBER=={magic!r}and {loads}{_IS_ORIGINAL}"
    return f"({loads}({_literal(stored)})if {fits} else None)"


def _literal(content: bytes) -> str:
    """Return the expression of bytes. Escapes would make it twice as long, and to compile it twice as slow."""
    # The low halves of UTF-16, whose encoder is the interpreter's own; the high ones are what one needs to be plain.
    plain = (chr(byte if byte < _ASCII and byte not in _NOT_IN_LITERALS else byte | _HIGH_HALF) for byte in content)
    return f"'{''.join(plain)}'.encode('utf-16')[2::2]"


def _compiled(source: str) -> str:
    """Return the expression of the code object of a source, None where the program has replaced what compiles it."""
    return f"({_COMPILE}({_literal(source.encode())},'<execd_agent>','exec')if {_COMPILE}{_IS_ORIGINAL} else None)"


def _run(code: str, values: str) -> str:
    names = "{'__builtins__':g['__builtins__'],'frozen':g," + values + "}"
    return f"{_FUNCTION}({code},{names})()"


def _within(expression: str) -> str:
    """Return an expression that knows the import system's namespace as g."""
    return f"(lambda g:{expression})({_FROZEN})"


def _within_own(expression: str) -> str:
    """Return the same under a name of ours, by which a program that traces its memory is shown without what stays."""
    return f"{_FUNCTION}((lambda g:{expression}).__code__.replace(co_filename='<execd_agent>'),{{}})({_FROZEN})"


def _refused() -> str:
    """Return the expression that tells the daemon, and closes the link: launch.refuse without a function."""
    frame = wire.encode_frame(wire.FAILURE, 0, wire.encode_json(_REFUSAL))
    tells = f"n==s['descriptor']and o.write(n,{frame!r})"
    closes = f"[({tells},o.close(n))for n,d,i in s['files']if o.fstat(n)[1:3]==(i,d)]"
    return f"(lambda o,s:{closes})(g['_bootstrap_external']._os,{_SETTINGS})"


def stripped_source(module: str) -> str:
    """Return a file of the agent without docstrings, comments, annotations and the __future__ import."""
    return _stripped((resources.files(_PACKAGE) / f"{module}.py").read_text(encoding="utf-8"))


def _stripped(source: str) -> str:
    # What is not there the target need not compile: it does so holding its GIL.
    return ast.unparse(ast.fix_missing_locations(_Stripper().visit(ast.parse(source))))


def _modules(folder: Traversable, package: str) -> list[tuple[str, str]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py") and entry.name[:-3] not in (*_INJECTED, _STARTUP):
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
