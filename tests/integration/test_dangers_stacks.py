"""Little stack left, of Python's frames or of memory, and signal handlers that raise while our code runs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from attachments import attached, detach, record_calls
from execd.attach import process
from execd.errors import AttachTimeout
from footprint import becomes, footprint, settled

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter
    from programs import Program

VERSIONS = ("3.9", "3.12", "3.15")
FRAMES_LEFT = 10
TOO_SHORT_S = 0.5
INTERVAL_US = "50000"
ATTACHES = 20
GOES_ON_S = 5.0


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_at_its_recursion_limit_is_waited_for_and_then_left_alone(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "deep", str(FRAMES_LEFT))
    before = footprint(program.pid)
    with pytest.raises(AttachTimeout, match="recursion limit"):
        attacher.attach(process.target_key(program.pid), TOO_SHORT_S, lambda: False)
    assert settled(program.pid, before) == before
    assert int(program.ask("come up")) > 0
    with attached(attacher, program.pid) as link:
        detach(link)
    assert program.stderr() == ""


@pytest.mark.parametrize("arguments", [("64", "6"), ("256", "6"), ("64", "6", "1024")], ids=str)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_whose_threads_have_small_stacks_is_attached_to(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, arguments: tuple[str, ...]
) -> None:
    program = spawn(interpreter, "cramped", *arguments)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        link.channel.request("snapshot", timeout_s=GOES_ON_S, session="c1")
        detach(link)
    rounds = program.ask_json("counters")
    assert becomes(lambda: program.ask_json("counters") > rounds, GOES_ON_S)
    assert program.stderr() == ""


def attach_to_one_that_raises(interpreter: Interpreter, spawn: Spawn, attacher: Attacher, attaches: int) -> None:
    """Attaches to a program whose signal handler raises 20 times a second; none is lost and none is more."""
    program = spawn(interpreter, "raising", INTERVAL_US)
    state = program.ask_json("state")
    for _ in range(attaches):
        with attached(attacher, program.pid) as link:
            # By another process, to whichever thread the kernel likes.
            os.kill(program.pid, signal.SIGUSR1)
            record_calls(link)
            detach(link)
    assert becomes(lambda: len(footprint(program.pid).threads) == state["os_threads"], GOES_ON_S)
    # A thread that hands an exception back may load an extension module meanwhile. With _ctypes comes libffi, which
    # keeps its own file open for its trampolines (3.4 and newer).
    assert becomes(lambda: not [fd for fd in new_files(program, state) if "/libffi." not in fd], GOES_ON_S)
    assert program.ask_json("state")["switch_interval_s"] == state["switch_interval_s"]
    assert becomes(lambda: is_even(program.ask_json("counters")), GOES_ON_S)
    assert program.stderr() == ""


def new_files(program: Program, before: dict[str, Any]) -> list[str]:
    """The files that a program has open and had not."""
    return [fd for fd in program.ask_json("state")["fds"] if fd not in before["fds"]]


def is_even(counters: dict[str, int]) -> bool:
    """Whether every exception that was raised has been caught."""
    return counters["raised"] == counters["caught"] > 0


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_of_many_signal_handlers_that_raise_none_is_lost(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    attach_to_one_that_raises(interpreter, spawn, attacher, ATTACHES)
