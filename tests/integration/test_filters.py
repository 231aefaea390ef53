"""Targets under seccomp filters: attached to where the filters let it, else refused with the call, and untouched."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from activities import commands_read
from agent_drivers import counts
from attachments import attach, attached, detach, record_calls
from execd.attach import process
from execd.errors import NotSupported
from execd.model import codec
from execd.model.target import Outcome
from footprint import becomes, footprint, settled, system_call

if TYPE_CHECKING:
    from conftest import Spawn
    from daemons import Daemon
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="filters are read by root alone")
VERSIONS = ("3.9", "3.12", "3.15")
READ = "0"
REFUSED = {
    ("kill", "319"): "kills the process at memfd_create",
    ("trap", "53"): "SIGSYS at socketpair",
    ("errno", "201"): "makes the call fail at time",
    ("notify", "319"): "user notification.* at memfd_create",
    ("trace", "319"): "a tracer at memfd_create",
    ("trap", "25"): "SIGSYS at mremap",
    ("kill", "219"): "kills the process at restart_syscall",
    ("strict", "0"): "strict seccomp",
}
DEEDS = {
    "kill": "kills the process",
    "errno": "makes the call fail",
    "notify": "asks a supervisor (user notification)",
}
TRIES = 20


@pytest.mark.parametrize("kind", ["allow", "container"])
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_filter_that_lets_an_attach_through_is_no_reason(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, kind: str
) -> None:
    program = spawn(interpreter, "filtered", kind)
    assert commands_read(program) == 1
    before = footprint(program.pid)
    with attached(attacher, program.pid) as link:
        record_calls(link)
        assert commands_read(program) == 2
        detach(link)
    assert settled(program.pid, before).descriptors == before.descriptors
    assert commands_read(program) == 3


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_the_native_core_follows_where_the_filters_let_it(
    interpreter: Interpreter, spawn: Spawn, daemon: Daemon
) -> None:
    program = spawn(interpreter, "filtered", "container")
    session = daemon.record_calls(program.pid, "native")
    assert (session.form, list(session.caveats)) == ("native", [])
    assert commands_read(program) == 1
    daemon.detach(program.pid)
    assert any(row.calls for row in counts(codec.decode(daemon.final_profile(session.id))).values())
    assert commands_read(program) == 2


@pytest.mark.parametrize(("deed", "number"), [("kill", "77"), ("errno", "72"), ("errno", "28"), ("notify", "77")])
def test_the_native_core_stays_away_from_a_filter_that_forbids_what_it_does(
    local_interpreter: Interpreter, spawn: Spawn, daemon: Daemon, deed: str, number: str
) -> None:
    program = spawn(local_interpreter, "filtered", deed, number)
    session = daemon.record_calls(program.pid, "native")
    name = {"77": "ftruncate", "72": "fcntl", "28": "madvise"}[number]
    assert session.form == "python"
    assert any(f"a seccomp filter of its {DEEDS[deed]} at {name}" in caveat for caveat in session.caveats)
    daemon.detach(program.pid)
    assert commands_read(program) == 1


def require_refused(attacher: Attacher, pid: int, message: str) -> None:
    """Fails where an attach is not refused as told, in time, or changes anything; the checks say the same."""
    before, began = footprint(pid), time.monotonic()
    with pytest.raises(NotSupported, match=message) as caught:
        attach(attacher, pid)
    assert time.monotonic() - began < 1
    (failed,) = [check for check in attacher.examine(process.target_key(pid)) if check.outcome is Outcome.FAILED]
    assert (failed.detail, failed.exit_code) == (caught.value.message, 6)
    assert footprint(pid) == before


@pytest.mark.parametrize("filter_", REFUSED, ids=" ".join)
def test_a_filter_that_would_do_harm_is_refused_with_the_call(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher, filter_: tuple[str, str]
) -> None:
    program = spawn(local_interpreter, "filtered", *filter_)
    assert becomes(lambda: system_call(program.pid) == READ, 5.0)
    require_refused(attacher, program.pid, REFUSED[filter_])
    assert program.alive()
    # Under strict seccomp it could not answer.
    assert filter_[0] == "strict" or commands_read(program) == 1


@pytest.mark.soak
@pytest.mark.parametrize("filter_", REFUSED, ids=" ".join)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_filter_that_would_do_harm_is_refused_each_time(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, filter_: tuple[str, str]
) -> None:
    program = spawn(interpreter, "filtered", *filter_)
    assert becomes(lambda: system_call(program.pid) == READ, 5.0)
    for _ in range(TRIES):
        require_refused(attacher, program.pid, REFUSED[filter_])
    assert program.alive()
