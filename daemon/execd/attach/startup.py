"""The archive that brings the agent into a program from its start: a zip file of one module, `sitecustomize`.

It has no name on any disk: the program inherits it as an open memfd, and PYTHONPATH leads to that. The same memfd is
the marker of the agent. The module runs startup.py of the agent, and then the program's own sitecustomize in its place.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.attach.text import stripped_source

if TYPE_CHECKING:
    from execd.attach.text import Agent

_MODULE = """
import sys
own = sys.modules.pop(__name__)
try:
    exec(compile({startup!r}, "<execd_agent.startup>", "exec"), {{"given": {given}}})
except Exception:
    pass
try:
    import sitecustomize
except BaseException:
    sys.modules[__name__] = own
    raise
"""
# As .pyc files are told apart.
_CODE = "(lambda i, m: m.loads({stored!r}) if i.MAGIC_NUMBER == {magic!r} else {source!r})(*map({modules}, {names}))"
_MODULES = "__import__('sys').modules.__getitem__"
_NAMES = ("_frozen_importlib_external", "marshal")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a program finds what it inherits.

    Attributes:
        channel: number of the descriptor that is the agent's end of the channel.
        archive: number of the archive's.
        python_path: what PYTHONPATH was, None where it was not set.
    """

    channel: int
    archive: int
    python_path: bytes | None


@dataclass(frozen=True, slots=True)
class Heirs:
    """How descendants of a program come to the daemon that execute an interpreter, while the program lasts.

    Attributes:
        socket: the path of the daemon's socket for agents.
        token: what they say there.
        dead_man_s: silence of the daemon after which their agents remove themselves, seconds.
    """

    socket: bytes
    token: bytes
    dead_man_s: int


def archive(
    agent: Agent,
    version: tuple[int, int],
    places: Places,
    nonce: str,
    *,
    waits: bool,
    gates: bool,
    heirs: Heirs | None = None,
) -> bytes:
    """Return the archive's content.

    Args:
        agent: what is to be started.
        version: of the interpreter, (3, 11).
        places: what the program inherits.
        nonce: what the agent's hello is to hold.
        waits: whether something is armed at once, while site runs.
        gates: whether something is armed at the program's first line.
        heirs: None where descendants are not recorded.
    """
    found = agent.bytecode.get(version)
    given = {
        "descriptor": places.channel,
        "marker": places.archive,
        "before": places.python_path,
        "nonce": nonce,
        "sizes": (len(found.modules) if found else 0, len(agent.sources_literal)),
        "waits": waits,
        "gates": gates,
        "heirs": (heirs.socket, heirs.token, heirs.dead_man_s) if heirs else None,
    }
    stored = (found.magic, found.launch, found.bootstrap) if found else (b"", b"", b"")
    codes = {
        "launch": _code(stored[0], stored[1], agent.launch),
        "bootstrap": _code(stored[0], stored[2], agent.bootstrap),
    }
    pairs = [f"{name!r}: {value!r}" for name, value in given.items()]
    pairs += [f"{name!r}: {expression}" for name, expression in codes.items()]
    startup = "\n".join(map(stripped_source, ("waits", "startup")))
    source = _MODULE.format(startup=startup, given="{" + ", ".join(pairs) + "}")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("sitecustomize.py", source)
    return content.getvalue()


def _code(magic: bytes, stored: bytes, source: str) -> str:
    """Return the expression of a code object, or of its source where the interpreter's bytecode is another one."""
    return _CODE.format(stored=stored, magic=magic, source=source.encode(), modules=_MODULES, names=_NAMES)
