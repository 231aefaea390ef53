"""Another tool's script in the fields of PEP 768 (3.14+), before our attach and during it: it runs once, so do we."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachments import attached, detach, record_calls
from execd.attach import process
from execd.errors import AttachTimeout
from footprint import becomes, footprint, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Spawn
    from execd.attach.attacher import AgentLink, Attacher
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.14", "3.15")
TRIES = 20
SCRIPT = "import sys; sys.modules['__main__'].ran()\n"
SEND = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])"
SEND_TIMEOUT_S = 30.0
TOO_SHORT_S = 0.5
RUNS_S = 5.0
ATTACH_S = 30.0


@pytest.fixture(scope="module")
def script(interpreter: Interpreter) -> Iterator[str]:
    """The script of a debugger, as the target names it."""
    with tempfile.TemporaryDirectory(dir=f"{interpreter.root}/tmp") as folder:
        path = Path(folder) / "script.py"
        path.write_text(SCRIPT)
        yield interpreter.inside(path)


def send(program: Program, script: str) -> None:
    """Asks a program to run a script, as pdb -p does: by an interpreter of its version."""
    command = [*program.interpreter.argv, "-c", SEND, str(program.pid), script]
    subprocess.run(command, check=True, timeout=SEND_TIMEOUT_S)


def block(program: Program) -> None:
    """Lets its main thread hold the GIL."""
    program.tell("block")
    assert program.read_line() == "blocking"


def release(program: Program) -> None:
    """Lets it go on."""
    assert program.ask_json("x") is True


class Attaching(threading.Thread):
    """An attach that is under way."""

    def __init__(self, attacher: Attacher, pid: int) -> None:
        super().__init__()
        self._attacher = attacher
        self._pid = pid
        self.links: list[AgentLink] = []
        self.start()

    def run(self) -> None:
        """Attaches; what it raises is seen by the missing link."""
        self.links.append(self._attacher.attach(process.target_key(self._pid), ATTACH_S, lambda: False))

    def link(self) -> AgentLink:
        """The link, once it is there."""
        self.join(ATTACH_S)
        (link,) = self.links
        return link


def behind(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, script: str) -> None:
    """Attaches while a script waits for a main thread that holds the GIL: not in time, and then behind it."""
    program = spawn(interpreter, "scripted")
    before = footprint(program.pid)
    block(program)
    send(program, script)
    with pytest.raises(AttachTimeout, match="holding the GIL"):
        attacher.attach(process.target_key(program.pid), TOO_SHORT_S, lambda: False)
    assert settled(program.pid, before) == before
    attaching = Attaching(attacher, program.pid)
    release(program)
    finish(program, attaching.link())
    require_once(program)


def before_idle(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, script: str) -> None:
    """Attaches while a script waits for a main thread that idles."""
    program = spawn(interpreter, "scripted")
    send(program, script)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        detach(link)
    require_once(program)


def over(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, script: str) -> None:
    """Sends a script while ours waits for a main thread that holds the GIL: it is written over ours."""
    program = spawn(interpreter, "scripted")
    block(program)
    before = footprint(program.pid)
    attaching = Attaching(attacher, program.pid)
    assert becomes(lambda: footprint(program.pid).descriptors != before.descriptors, RUNS_S)
    send(program, script)
    release(program)
    finish(program, attaching.link())
    require_once(program)


def finish(program: Program, link: AgentLink) -> None:
    """Records a pass and leaves."""
    try:
        record_calls(link)
        program.ask("work 1")
        detach(link)
    finally:
        link.close()


def require_once(program: Program) -> None:
    """Fails where the script did not run, or ran more than once."""
    assert becomes(lambda: program.ask_json("count") > 0, RUNS_S)
    program.ask("work 1")
    assert program.ask_json("count") == 1
    assert program.stderr() == ""


CASES = {"behind it": behind, "before an idle thread runs it": before_idle, "over ours": over}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_another_debuggers_script_runs_once_and_the_attach_works(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, script: str, case: str
) -> None:
    CASES[case](interpreter, spawn, attacher, script)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_another_debuggers_script_runs_once_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, script: str, case: str
) -> None:
    for _ in range(TRIES):
        CASES[case](interpreter, spawn, attacher, script)
