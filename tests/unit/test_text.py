"""The injected text, run as the attach runs it under every interpreter, and what it leaves alone."""

from __future__ import annotations

import ast
import dis
import importlib.util
import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import text
from execd.attach.link import PAGE_SIZE
from execd_agent import wire

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

ERRORS = ("KeyboardInterrupt", "SystemExit", "Custom", "Strict", "ValueError")
# What a launch is in which a signal handler of the target raises.
INTERRUPTED_LAUNCH = "frozen['sys'].modules['__main__'].interrupt()"
SETTINGS = {"descriptor": 3, "peer": 4, "marker": 5, "nonce": "00" * 8}
SETTINGS_WORD = b"@settings@"
PAGE_ROOM = PAGE_SIZE - 1000
VERSION = (3, 11)
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def agent() -> text.Agent:
    return text.read_agent()


def hand_back(drivers: Drivers, interpreter: Interpreter, agent: text.Agent, error: str) -> Any:
    program = text.injected_text(replace(agent, launch=INTERRUPTED_LAUNCH, bytecode={}), VERSION, {})
    command = drivers.command(interpreter, "handing_back", [error])
    done = subprocess.run(command, input=program.rstrip(b"\0"), capture_output=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


@pytest.mark.parametrize("error", ERRORS)
def test_an_exception_of_the_targets_signal_handler_is_raised_in_the_target(
    drivers: Drivers, interpreter: Interpreter, agent: text.Agent, error: str
) -> None:
    answer = hand_back(drivers, interpreter, agent, error)
    assert answer["reached"] == "the program"
    assert answer["same"]
    assert (answer["type"], answer["caught_by_class"]) == (error, True)
    assert answer["fact"] == {"Custom": 3, "Strict": 3}.get(error)


@pytest.mark.parametrize("names", ["compile", "exec", "compile exec"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_text_in_a_program_that_has_replaced_what_runs_code_says_so_and_closes_its_link(
    drivers: Drivers, interpreter: Interpreter, agent: text.Agent, names: str, *, compiled: bool
) -> None:
    program = SETTINGS_WORD.join(agent.programs[interpreter.version_info if compiled else None])
    command = drivers.command(interpreter, "replacing", [SETTINGS_WORD.decode(), *names.split()])
    done = subprocess.run(command, input=program.rstrip(b"\0"), capture_output=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    answer = json.loads(done.stdout)
    named = names.split() if compiled else names.split()[:1]
    (frame,) = wire.Decoder().feed(answer["said"].encode("latin-1"))
    reason = "the program has replaced functions that all code uses: " + ", ".join(named)
    assert (frame.kind, json.loads(frame.payload)) == (wire.FAILURE, {"refused": True, "message": reason})
    assert (answer["open"], answer["called"]) == ([False] * 3, [])


def test_the_text_is_one_c_string_that_fits_its_page(agent: text.Agent) -> None:
    program = text.injected_text(agent, VERSION, SETTINGS)
    assert program.endswith(b"\n\0")
    assert program.count(b"\0") == 1
    assert len(program) < PAGE_ROOM


def test_the_text_is_utf8_and_looks_up_no_name(agent: text.Agent) -> None:
    program = text.injected_text(agent, VERSION, SETTINGS).rstrip(b"\0").decode("utf-8")
    code = compile(program, "<string>", "exec")
    loads = [
        one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_NAME", "STORE_NAME", "LOAD_GLOBAL")
    ]
    assert loads == []


def test_bytecode_of_any_bytes_comes_through(agent: text.Agent) -> None:
    content = bytes(range(256)) * 2
    stored = replace(agent.bytecode[VERSION], magic=importlib.util.MAGIC_NUMBER, launch=content)
    program = b"0".join(replace(agent, bytecode={VERSION: stored}).programs[VERSION])
    tree = ast.parse(program.rstrip(b"\0"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node).startswith("g['_bo")]
    assert content in [eval(ast.unparse(call.args[0])) for call in calls]  # noqa: S307 - a literal of ours


@pytest.mark.parametrize("module", ["replaced", "unheard", "launch", "handback", "bootstrap"])
def test_what_is_injected_needs_no_import_and_has_no_words(module: str) -> None:
    source = text.stripped_source(module)
    assert '"""' not in source
    assert "import annotations" not in source
    assert "\nimport " not in source


def test_the_bundle_is_the_bytecode_of_every_module_but_the_injected(agent: text.Agent) -> None:
    version, compiled = next(iter(agent.bytecode.items()))
    assert text.bundle(agent, version) == compiled.modules
    assert f"'sizes': ({len(compiled.modules)}, {len(agent.sources_literal)})".encode() in text.injected_text(
        agent, version, SETTINGS
    )
    modules = eval(agent.sources_literal, {"__builtins__": {}})  # noqa: S307 - as the agent reads it
    assert {"execd_agent", "execd_agent.agent", "execd_agent.wire", "execd_agent.collectors.calls"} <= set(modules)
    assert not any(name.endswith(("replaced", "unheard", "launch", "handback", "bootstrap")) for name in modules)


def test_the_bundle_for_a_version_without_bytecode_is_the_sources(agent: text.Agent) -> None:
    assert text.bundle(agent, (3, 8)) == agent.sources_literal
    assert f"'sizes': (0, {len(agent.sources_literal)})".encode() in text.injected_text(agent, (3, 8), SETTINGS)
