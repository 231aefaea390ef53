"""Targets that have reached a limit of their own: refused with the limit's name, and left with all that they had."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from activities import commands_read
from attachments import attach, attached, detach
from execd.attach import attachment, process
from execd.attach import link as links
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent
from execd.errors import NotSupported
from footprint import footprint, settled

if TYPE_CHECKING:
    from conftest import Spawn
    from execd.attach.attacher import Attacher
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.13", "3.15")
TIMEOUT_S = 3.0


@pytest.mark.parametrize(
    ("limit", "message", "remedy"),
    [
        ("descriptors", "at most 64 files open", "--nofile=69"),
        ("memory", "limit of address space", "--as="),
        ("cpu", "limit of 1 s of CPU time", "--cpu=61"),
    ],
)
@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_at_a_limit_is_refused_before_anything_is_touched(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher, limit: str, message: str, remedy: str
) -> None:
    program = spawn(interpreter, "limited", limit)
    before = footprint(program.pid)
    began = time.monotonic()
    with pytest.raises(NotSupported, match=message) as caught:
        attach(attacher, program.pid)
    assert time.monotonic() - began < TIMEOUT_S
    assert remedy in caught.value.remedy
    assert footprint(program.pid) == before
    assert commands_read(program) == 1
    assert program.stderr() == ""


@pytest.mark.parametrize("limit", ["descriptors", "descriptors 1", "memory"])
def test_what_was_made_of_a_link_before_a_limit_struck_is_taken_back(
    local_interpreter: Interpreter, spawn: Spawn, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """The limit is reached between the look at it and the chain."""
    monkeypatch.setattr(links, "_require_room", lambda _pid: None)
    program = spawn(local_interpreter, "limited", *limit.split())
    if limit == "memory":
        # Nothing at all: a page of 32 KiB must fail.
        monkeypatch.setattr(links, "PAGE_SIZE", 64 << 20)
    before = footprint(program.pid)
    key = process.target_key(program.pid)
    order = attachment.AttachOrder(key.pid, key.start_ticks, TIMEOUT_S, links.marker_name(os.getuid(), os.getpid()), 30)
    with (
        pytest.raises(NotSupported, match="could not make the link"),
        attachment.attach(order, attachment.Kit(Finder(), read_agent(), Ptrace()), lambda: False),
    ):
        pass
    assert settled(program.pid, before) == before
    assert commands_read(program) == 1
    assert program.stderr() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_a_target_that_can_start_no_thread_is_refused_by_the_text_itself(
    interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(interpreter, "limited", "threads")
    state = program.ask_json("state")
    before = footprint(program.pid)
    with pytest.raises(NotSupported, match="cannot start a thread"):
        attach(attacher, program.pid)
    assert settled(program.pid, before) == before
    after = program.ask_json("state")
    assert {name for name in state if state[name] != after[name]} <= {"rss_kib"}
    assert program.stderr() == ""


def test_a_limit_that_leaves_room_enough_is_no_reason(
    local_interpreter: Interpreter, spawn: Spawn, attacher: Attacher
) -> None:
    program = spawn(local_interpreter, "limited", "none")
    with attached(attacher, program.pid) as link:
        detach(link)
    assert commands_read(program) == 1
