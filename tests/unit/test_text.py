"""The injected text, run as the attach runs it under every interpreter, and what it leaves alone."""

from __future__ import annotations

import dis
import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from execd.attach import text
from execd.attach.link import PAGE_SIZE

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

ERRORS = ("KeyboardInterrupt", "SystemExit", "Custom", "Strict")
# What a launch is in which a signal handler of the target raises.
INTERRUPTED_LAUNCH = "frozen['sys'].modules['__main__'].interrupt()"
SETTINGS = {"descriptor": 3, "peer": 4, "marker": 5, "nonce": "00" * 8}
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


def test_the_text_is_one_c_string_that_fits_its_page(agent: text.Agent) -> None:
    program = text.injected_text(agent, VERSION, SETTINGS)
    assert program.endswith(b"\n\0")
    assert program.count(b"\0") == 1
    assert len(program) < PAGE_ROOM


def test_the_text_is_ascii_and_looks_up_no_name(agent: text.Agent) -> None:
    program = text.injected_text(agent, VERSION, SETTINGS).rstrip(b"\0")
    assert program.isascii()
    code = compile(program, "<string>", "exec")
    loads = [
        one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_NAME", "STORE_NAME", "LOAD_GLOBAL")
    ]
    assert loads == []


@pytest.mark.parametrize("module", ["launch", "handback", "bootstrap"])
def test_what_is_injected_needs_no_import_and_has_no_words(module: str) -> None:
    source = text.stripped_source(module)
    assert '"""' not in source
    assert "import annotations" not in source
    assert "\nimport " not in source


def test_the_bundle_announces_both_sizes_and_holds_the_bytecode_of_every_module_but_the_injected(
    agent: text.Agent,
) -> None:
    version, compiled = next(iter(agent.bytecode.items()))
    bundle = text.bundle(agent, version)
    assert (int(bundle[:8], 16), int(bundle[8:16], 16)) == (len(compiled.modules), len(agent.sources_literal))
    assert bundle[16:] == compiled.modules
    modules = eval(agent.sources_literal, {"__builtins__": {}})  # noqa: S307 - as the agent reads it
    assert {"execd_agent", "execd_agent.agent", "execd_agent.wire", "execd_agent.collectors.calls"} <= set(modules)
    assert not any(name.endswith(("launch", "handback", "bootstrap")) for name in modules)


def test_the_bundle_for_a_version_without_bytecode_is_the_sources(agent: text.Agent) -> None:
    bundle = text.bundle(agent, (3, 8))
    assert bundle[:8] == b"00000000"
    assert int(bundle[8:16], 16) == len(bundle) - 16
    assert bundle[16:] == agent.sources_literal
