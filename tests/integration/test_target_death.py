"""The target killed by SIGKILL after each ptrace call of an attach: its parent sees it end."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachments import attach
from execd.attach.attacher import Attacher
from execd.errors import AgentFailed, AttachTimeout, TargetGone
from footprint import becomes

if TYPE_CHECKING:
    from conftest import Spawn
    from interpreters import Interpreter
    from programs import Program

KILLING_HELPER = Path(__file__).parent.parent / "killing_helper.py"
VERSIONS = ("3.9", "3.12", "3.15")
# seize, interrupt, registers, rseq, XSAVE area, signal mask, registers set, mask set, detach: less is no attach.
FEWEST_CALLS = 9
MOST_CALLS = 200
END_TIMEOUT_S = 2.0
TIDYING_S = 0.3
PROGRAMS = ("busy", "reading", "threads")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("interpreter", ["3.12"], indirect=True)
def test_the_end_of_a_target_is_seen_by_its_parent_whenever_it_is_killed(
    interpreter: Interpreter, spawn: Spawn, name: str
) -> None:
    kill_after_each_call(interpreter, spawn, name)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_end_of_a_target_of_each_version_is_seen_by_its_parent(
    interpreter: Interpreter, spawn: Spawn, name: str
) -> None:
    kill_after_each_call(interpreter, spawn, name)


def kill_after_each_call(interpreter: Interpreter, spawn: Spawn, name: str) -> None:
    """Attaches to one program after the other, until one is not killed."""
    killing = Attacher([sys.executable, str(KILLING_HELPER)])
    try:
        kills = next(kills for kills in range(MOST_CALLS) if not is_killed(killing, name, spawn(interpreter, name)))
    finally:
        killing.close()
    assert kills >= FEWEST_CALLS


def is_killed(killing: Attacher, name: str, program: Program) -> bool:
    """Attaches; whether the program was killed meanwhile, which its parent must see while the helper lives."""
    if name == "threads":
        program.tell("run 1000000")
    with suppress(TargetGone, AttachTimeout, AgentFailed):
        attach(killing, program.pid).close()
    if not becomes(lambda: has_ended(program.pid), TIDYING_S):
        return False
    # The kernel keeps a traced thread that has ended until its tracer has waited for it, and with it the process.
    assert becomes(lambda: not program.alive(), END_TIMEOUT_S)
    return True


def has_ended(pid: int) -> bool:
    """Whether a process runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
