"""The whole agent without ptrace: the text is run in a program of every version, and spoken to over a channel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from agent_drivers import PID, by_name
from agent_hosts import hosting
from call_trees import header
from execd.attach.process import threads
from execd.attach.table import read_table
from execd.errors import AgentFailed, CollectorRefused, TargetGone
from execd.model.collector import COLLECTORS, SAMPLES
from execd_agent import wire

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from agent_hosts import Host
    from interpreters import Interpreter

VERSIONS = ("3.9", "3.12", "3.15")
# A second is promised; a busy machine gets more.
DISARM_S = 5.0
# A fork that waits for a thread in vain does so for a second.
FORK_S = 0.5
OPTIONS = {"builtins": True}
WORKLOAD_CALLS = 177
# What an agent may leave: modules that it named, and its inert stub, which is no module.
MAY_STAY = "modules"


def fibonacci_calls(bulk: bytes) -> int:
    found = by_name(read_table(bulk, header(), PID))
    return found["fibonacci"].calls if "fibonacci" in found else 0


def until_as_before(host: Host) -> dict[str, Any]:
    """Return the state of the program once the agent's thread is gone."""
    deadline = time.monotonic() + DISARM_S
    while (state := host.ask("state"))["os_threads"] > host.state_before["os_threads"]:
        assert time.monotonic() < deadline
    return state  # type: ignore[no-any-return]


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    left_out = {"rss_kib", "main_names"}
    return {name for name in before if name not in left_out and before[name] != after[name]}


def test_an_agent_says_hello_and_touches_no_name(drivers: Drivers, interpreter: Interpreter) -> None:
    with hosting(drivers, interpreter) as host:
        assert host.attached == {"names": True}
        assert host.hello.python_version == interpreter.full_version
        assert host.hello.collectors == tuple(sorted(COLLECTORS.keys() - {SAMPLES.name}))
        assert host.ask("trapped") == []


def test_what_is_measured_is_what_was_done(drivers: Drivers, interpreter: Interpreter) -> None:
    with hosting(drivers, interpreter) as host:
        started = host.request("start", session="c1", collector="calls", options=OPTIONS).facts
        assert started["form"] == "python"
        # Its own thread, what it takes is not the program's.
        assert started["native_thread_id"] in set(threads(host.pid)) - {host.pid}
        host.ask("work 3")
        assert fibonacci_calls(host.request("snapshot", session="c1").bulk) == 3 * WORKLOAD_CALLS
        host.ask("work 2")
        host.request("ping")
        assert fibonacci_calls(host.request("stop", session="c1").bulk) == 5 * WORKLOAD_CALLS
        assert host.ask("trapped") == []


def test_after_a_detach_nothing_is_left_but_what_the_agent_names(drivers: Drivers, interpreter: Interpreter) -> None:
    with hosting(drivers, interpreter) as host:
        host.request("start", session="c1", collector="calls", options=OPTIONS)
        host.ask("work 1")
        loaded = host.request("detach").facts["loaded_modules"]
        after = until_as_before(host)
        # Not even until a garbage collection; the at-fork stub stays, and what a thread may be about to call.
        hooks = {"find_stub.<locals>.disarm", "find_stub.<locals>.go_on"}
        hooks |= {"preparer.<locals>.prepare", "beginner.<locals>.begin"}
        hooks |= set() if interpreter.version_info >= (3, 12) else {"make_profile_function.<locals>.profile", "nothing"}
        assert set(host.ask("functions")) == hooks
        assert set(after["modules"]) - set(host.state_before["modules"]) <= set(loaded)
        # Its descriptors were there before the attach in this program, and are closed now.
        assert differences(host.state_before, after) <= {MAY_STAY, "fds"}
        assert len(after["fds"]) == len(host.state_before["fds"]) - 3
        assert host.ask("trapped") == []
        assert host.close() == ""


@pytest.mark.parametrize("interpreter", VERSIONS, indirect=True)
def test_forks_wait_once_for_a_thread_that_seems_to_leave_for_ever(drivers: Drivers, interpreter: Interpreter) -> None:
    """Its number has become that of another thread of the target's."""
    with hosting(drivers, interpreter) as host:
        host.request("detach")
        until_as_before(host)
        _, *later = host.ask("forks")
        assert max(later) < FORK_S


@pytest.mark.parametrize("how", ["closed", "garbage", "a reply", "an oversized frame"])
def test_when_the_link_ends_every_hook_is_off(drivers: Drivers, local_interpreter: Interpreter, how: str) -> None:
    sent = {
        "garbage": b"GET / HTTP/1.1\r\n\r\n",
        "a reply": wire.encode_frame(wire.REPLY, 1, b"{}"),
        "an oversized frame": b"\xff\xff\xff\xff" + bytes((wire.REQUEST, 0, 0, 0)),
    }
    with hosting(drivers, local_interpreter) as host:
        host.request("start", session="c1", collector="calls", options=OPTIONS)
        if how == "closed":
            host.channel.close()
        else:
            host.ours.sendall(sent[how])
        after = until_as_before(host)
        assert differences(host.state_before, after) <= {MAY_STAY, "fds"}
        assert host.close() == ""


def test_when_the_link_closes_every_hook_is_off_on_every_version(drivers: Drivers, interpreter: Interpreter) -> None:
    with hosting(drivers, interpreter) as host:
        host.request("start", session="c1", collector="calls", options=OPTIONS)
        host.channel.close()
        assert differences(host.state_before, until_as_before(host)) <= {MAY_STAY, "fds"}
        assert host.close() == ""


def test_a_request_that_makes_no_sense_fails_and_the_agent_goes_on(
    drivers: Drivers, local_interpreter: Interpreter
) -> None:
    with hosting(drivers, local_interpreter) as host:
        with pytest.raises(CollectorRefused, match="no collector weather"):
            host.request("start", session="c1", collector="weather", options={})
        for operation in ("snapshot", "stop"):
            with pytest.raises(AgentFailed, match="KeyError"):
                host.request(operation, session="nobody")
        with pytest.raises(AgentFailed, match="unknown operation"):
            host.request("dance")
        with pytest.raises(AgentFailed, match="KeyError"):
            host.request("start")
        assert host.request("ping").facts["memory_bytes"] == {}


def test_a_session_starts_once(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with hosting(drivers, local_interpreter) as host:
        host.request("start", session="c1", collector="calls", options=OPTIONS)
        with pytest.raises(AgentFailed, match="runs already"):
            host.request("start", session="c1", collector="calls", options=OPTIONS)
        host.ask("work 1")
        assert fibonacci_calls(host.request("stop", session="c1").bulk) == WORKLOAD_CALLS


@pytest.mark.parametrize(
    "text_of_user", ["\U0001f980", chr(0xD800), chr(0xDCFF), 'quote" \\ and\nline', "\x00", "\u2028"]
)
def test_a_text_of_the_daemon_arrives_as_it_was(
    drivers: Drivers, local_interpreter: Interpreter, text_of_user: str
) -> None:
    with hosting(drivers, local_interpreter) as host, pytest.raises(AgentFailed) as caught:
        host.request("snapshot", session=text_of_user)
    assert repr(text_of_user) in caught.value.message


def test_a_target_that_ends_is_a_target_gone(drivers: Drivers, local_interpreter: Interpreter) -> None:
    with hosting(drivers, local_interpreter) as host:
        host.kill()
        with pytest.raises(TargetGone):
            host.request("ping")
