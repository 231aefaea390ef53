"""Interpreters without `_ctypes` (3.9 to 3.11): a profile function that only its own thread can take out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_drivers import by_name
from attachments import attached, detach, record_calls, stop_calls
from footprint import becomes, footprint, thread_ids

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.11")
SETTLE_S = 3.0


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_thread_that_rests_at_the_detach_is_left_at_its_next_event(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "unreached")
    with attached(attacher, program.pid) as link:
        record_calls(link)
        assert program.ask_json("rest")
        before = footprint(program.pid)
        profile = stop_calls(link)
        detach(link)
    assert "cannot be reached" in profile.header.caveats[0]
    assert becomes(lambda: len(thread_ids(program.pid)) == len(before.threads) - 1, SETTLE_S)
    assert program.ask_json("wake")
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_profile_function_of_the_programs_own_over_ours_stays(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "unreached")
    with attached(attacher, program.pid) as link:
        record_calls(link)
        assert program.ask_json("collect")
        assert program.ask_json("own")
        program.ask("work 1")
        profile = stop_calls(link)
        detach(link)
    program.ask("work 1")
    assert program.ask_json("kept")
    assert by_name(profile)["run"].calls == 1
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_clears_the_collectors_callbacks_is_told_of(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "unreached")
    with attached(attacher, program.pid) as link:
        record_calls(link)
        assert program.ask_json("clear")
        profile = stop_calls(link)
        detach(link)
    assert any("out of gc.callbacks" in caveat for caveat in profile.header.caveats)
    program.ask("work 1")
    assert program.stderr() == ""
