"""The agent compiled ahead: for which agent a file is, what it holds, and what the agent makes of one it cannot use."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import execd_agent
import pytest
from agent_hosts import hosting
from execd.attach import bytecode, text

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

PACKAGE = Path(execd_agent.__file__).parent
NO_MAGIC = b"\xff\xff\r\n"
UNUSABLE = {
    "none": None,
    "another interpreter's": bytecode.Compiled(NO_MAGIC, bytes(900), bytes(900), NO_MAGIC + bytes(5000)),
    "only a number": bytecode.Compiled(NO_MAGIC, b"", b"", NO_MAGIC),
}


@pytest.fixture(scope="module")
def agent() -> text.Agent:
    return text.read_agent()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the agent's package."""
    return shutil.copytree(PACKAGE, tmp_path / "execd_agent")


def test_the_agent_has_been_compiled_for_every_interpreter(interpreter: Interpreter, agent: text.Agent) -> None:
    assert interpreter.version_info in agent.bytecode, "run `make`, or tests/compile_agent.py"


def test_an_agent_starts_from_bytecode_alone(drivers: Drivers, interpreter: Interpreter, agent: text.Agent) -> None:
    with hosting(drivers, interpreter, replace(agent, sources={}, launch="1/0", bootstrap="1/0")) as host:
        assert host.hello.python_version == interpreter.full_version
        assert host.request("start", session="c1", collector="calls", options={"builtins": True}).facts["form"]


@pytest.mark.parametrize("which", UNUSABLE)
def test_where_there_is_no_bytecode_for_an_interpreter_it_compiles_the_sources(
    drivers: Drivers, interpreter: Interpreter, agent: text.Agent, which: str
) -> None:
    unusable = UNUSABLE[which]
    other = {interpreter.version_info: unusable} if unusable else {}
    with hosting(drivers, interpreter, replace(agent, bytecode=other)) as host:
        assert host.hello.python_version == interpreter.full_version
        assert host.request("ping").facts["memory_bytes"] == {}


def test_a_file_is_read_while_the_agent_is_the_one_that_it_was_made_from(
    local_interpreter: Interpreter, package: Path, agent: text.Agent
) -> None:
    version = local_interpreter.version_info
    name = bytecode.file_name(version, package)
    content = bytecode.compile_sources((agent.launch, agent.bootstrap), agent.sources, local_interpreter.argv)
    (package / bytecode.FOLDER / name).write_bytes(content)
    assert bytecode.read(package)[version] == bytecode.compiled(content)
    (package / "agent.py").write_text((package / "agent.py").read_text() + "\n")
    assert bytecode.read(package) == {}
    assert bytecode.file_name(version, package) != name


def test_an_agent_that_was_not_compiled_has_no_bytecode(package: Path) -> None:
    shutil.rmtree(package / bytecode.FOLDER)
    assert bytecode.read(package) == {}


def test_an_interpreter_that_cannot_compile_it_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(bytecode.subprocess.CalledProcessError, match="exit status 3"):
        bytecode.compile_sources(("pass", "pass"), {"m": "pass"}, [str(broken)])
