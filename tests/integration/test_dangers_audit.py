"""Audit hooks of the program's own: they run within the interpreter's calls, and other threads go on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attachments import attached, detach, record_calls
from execd.errors import CollectorRefused
from footprint import becomes

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.11", "3.12")
ATTACHES = 5
GOES_ON_S = 5.0


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_program_with_audit_hooks_whose_threads_come_and_go_lives_on(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "audited")
    for _ in range(ATTACHES):
        with attached(attacher, program.pid) as link:
            record_calls(link)
            done = program.ask_json("work")
            assert becomes(lambda done=done: program.ask_json("work") > done + 10, GOES_ON_S)
            detach(link)
    done = program.ask_json("work")
    assert becomes(lambda: program.ask_json("work") > done, GOES_ON_S)
    assert program.alive()
    assert program.stderr() == ""


@pytest.mark.parametrize("collector", ["calls", "lines"])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_hook_that_comes_while_others_are_recorded_harms_no_thread(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, collector: str
) -> None:
    program = spawn(interpreter, "audited", "later")
    with attached(attacher, program.pid) as link:
        link.channel.request("start", timeout_s=GOES_ON_S, session="first", collector=collector, options={})
        program.ask("listen")
        done = program.ask_json("work")
        assert becomes(lambda: program.ask_json("work") > done + 100, GOES_ON_S)
        link.channel.request("stop", timeout_s=GOES_ON_S, session="first")
        detach(link)
    assert (program.ask_json("profilers"), program.ask_json("tracers")) == (0, 0)
    done = program.ask_json("work")
    assert becomes(lambda: program.ask_json("work") > done + 100, GOES_ON_S)
    assert program.alive()
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", ["3.11"], indirect=True)
def test_what_needs_all_threads_is_refused_where_audit_hooks_would_run(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "audited")
    with attached(attacher, program.pid) as link:
        with pytest.raises(CollectorRefused, match="audit hooks"):
            link.channel.request("start", timeout_s=GOES_ON_S, session="lines", collector="lines", options={})
        detach(link)
