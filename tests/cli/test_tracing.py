"""`execctl attach --trace` and its relatives, `execctl follow`."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cli.fake_daemon import FOLLOWED, error_detail, make_session, make_target
from execd_api.v1 import sessions_pb2, targets_pb2
from footprint import becomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cli.conftest import Run, Start
    from cli.fake_daemon import FakeDaemon

SHOWN = " --- modulename: a, funcname: f\na.py(1): x = 1\n --- lost: 5 events\na.py(2): y\\x1b[2J\n"
WAIT_S = 20.0
# What may be on its way to a client that takes nothing, of 10 KB each: in the channel, in execctl, in the pipe.
MOST_AHEAD = 3000


def traced(daemon: FakeDaemon, **changes: Any) -> None:
    """Makes the fake daemon's session a trace."""
    spec = sessions_pb2.SessionSpec(collector="trace", options_json="{}")
    daemon.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(
        target=make_target(), sessions=[make_session(spec=spec)], **changes
    )
    ended = make_session(spec=spec, state=sessions_pb2.SESSION_STATE_STOPPED, latest_profile="p7")
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=[ended])
    daemon.script.answers["Sessions.Follow"] = followed


@pytest.mark.parametrize(
    ("flag", "collector"),
    [
        ("--count", "lines"),
        ("--cover", "cover"),
        ("--listfuncs", "functions"),
        ("--trackcalls", "callers"),
        ("--trace", "trace"),
    ],
)
def test_each_mode_asks_for_its_collector_with_what_to_ignore(
    run: Run, daemon: FakeDaemon, flag: str, collector: str
) -> None:
    traced(daemon)
    ignored = ("--ignore-module", "os,json", "--ignore-module", "re", "--ignore-dir", "$prefix:/opt/x")
    assert run("attach", "4711", flag, *ignored).exit_code == 0
    (asked,) = daemon.script.request("Targets.Attach").sessions
    options = {"ignore_modules": ["os", "json", "re"], "ignore_dirs": ["$prefix", "/opt/x"]}
    assert (asked.collector, json.loads(asked.options_json)) == (collector, options)


def test_a_trace_is_asked_for_with_its_filters_and_timing_is_ours(run: Run, daemon: FakeDaemon) -> None:
    traced(daemon)
    run("attach", "4711", "--trace", "--timing", "--function", "Cart.*", "--thread", "w-1", "--limit-events", "9")
    (asked,) = daemon.script.request("Targets.Attach").sessions
    assert json.loads(asked.options_json) == {"function": "Cart.*", "thread": "w-1", "limit_events": 9}
    asked_for = [request for call, request in daemon.script.asked if call == "Sessions.Follow"]
    assert {(one.session, one.timing, one.from_now) for one in asked_for} == {("s1", True, False)}


@pytest.mark.parametrize("other", ["--count", "--trace"])
def test_listfuncs_excludes_count_and_trace(run: Run, daemon: FakeDaemon, other: str) -> None:
    result = run("attach", "4711", "--listfuncs", other)
    assert (result.exit_code, daemon.script.calls()) == (2, [])
    assert "cannot specify both --listfuncs and (--trace or --count)" in result.stderr


@pytest.mark.parametrize("words", [("--count", "--timing"), ("--profile", "--ignore-module", "os")])
def test_an_option_of_another_mode_is_a_usage_error(run: Run, daemon: FakeDaemon, words: tuple[str, ...]) -> None:
    result = run("attach", "4711", *words)
    assert (result.exit_code, daemon.script.calls()) == (2, [])


def test_a_trace_is_shown_then_ended_and_left(run: Run, daemon: FakeDaemon) -> None:
    traced(daemon)
    result = run("attach", "4711", "--trace")
    assert (result.exit_code, result.stdout) == (0, SHOWN)
    calls = ["Targets.Attach", "Sessions.Follow", "Sessions.Stop", "Targets.Detach", "Sessions.Follow"]
    assert daemon.script.calls() == calls
    assert "s1: 3 events were shown, 5 are missing" in result.stderr
    assert "next: execctl report p7" in result.stderr


def test_ctrl_c_ends_a_trace_and_keeps_the_data(start: Start, daemon: FakeDaemon) -> None:
    traced(daemon)
    release = threading.Event()
    daemon.script.answers["Sessions.Follow"] = lambda _request: then_wait(release)
    process = start("--socket", str(daemon.socket), "attach", "4711", "--trace")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(" --- modulename")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=WAIT_S)
    release.set()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert daemon.script.calls()[-2:] == ["Sessions.Stop", "Targets.Detach"]


def test_a_trace_ends_where_nobody_reads_any_more(start: Start, daemon: FakeDaemon) -> None:
    traced(daemon)
    daemon.script.answers["Sessions.Follow"] = lambda _request: endless([])
    process = start("--socket", str(daemon.socket), "attach", "4711", "--trace")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(WAIT_S) == 0
    assert daemon.script.calls()[-2:] == ["Sessions.Stop", "Targets.Detach"]


def test_the_duration_ends_a_trace_in_which_nothing_happens(run: Run, daemon: FakeDaemon) -> None:
    traced(daemon)
    release = threading.Event()
    daemon.script.answers["Sessions.Follow"] = (
        lambda request: followed(request) if request.after else then_wait(release)
    )
    result = run("attach", "4711", "--trace", "--duration", "200ms")
    release.set()
    assert (result.exit_code, result.stdout) == (0, SHOWN)


def test_what_had_not_come_when_the_time_was_over_is_shown_too(run: Run, daemon: FakeDaemon) -> None:
    traced(daemon)
    release = threading.Event()
    daemon.script.answers["Sessions.Follow"] = lambda request: (
        followed(request) if request.after else then_wait(release, FOLLOWED[:2])
    )
    result = run("attach", "4711", "--trace", "--duration", "200ms")
    release.set()
    assert (result.exit_code, result.stdout) == (0, SHOWN)
    assert "s1: 3 events were shown, 5 are missing" in result.stderr


def test_who_takes_nothing_is_sent_no_more_than_fits(start: Start, daemon: FakeDaemon) -> None:
    traced(daemon)
    sent: list[int] = []
    daemon.script.answers["Sessions.Follow"] = lambda _request: endless(sent)
    process = start("--socket", str(daemon.socket), "attach", "4711", "--trace", stdout=subprocess.PIPE)
    assert becomes(lambda: bool(sent), WAIT_S)
    assert becomes(lambda: stands_still(sent), WAIT_S)
    assert 0 < len(sent) < MOST_AHEAD
    process.kill()
    process.wait(WAIT_S)


def test_an_empty_trace_says_why(run: Run, daemon: FakeDaemon) -> None:
    traced(daemon)
    ended = daemon.script.answers["Sessions.Stop"].sessions[0]
    ended.caveats.append("nothing ran in a function called like 'no*'")
    told = run("attach", "4711", "--trace", "--function", "no*").stderr
    assert "s1: nothing ran in a function called like 'no*'\n" in told


def test_follow_shows_what_comes_from_now_on_and_leaves_the_trace_alone(run: Run, daemon: FakeDaemon) -> None:
    result = run("follow", "s1", "--timing")
    assert (result.exit_code, result.stdout) == (0, SHOWN)
    asked = daemon.script.request("Sessions.Follow")
    assert (asked.session, asked.timing, asked.from_now, asked.after) == ("s1", True, True, 0)
    assert daemon.script.calls() == ["Sessions.Follow"]


def test_follow_shows_what_is_kept_where_asked_to(run: Run, daemon: FakeDaemon) -> None:
    run("follow", "--all")
    assert not daemon.script.request("Sessions.Follow").from_now


def test_follow_says_that_there_is_no_such_trace(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Sessions.Follow"] = error_detail("not_found", 9)
    assert run("follow", "s9").exit_code == 9


def test_a_connection_that_broke_is_made_again_where_it_was(run: Run, daemon: FakeDaemon) -> None:
    calls, broken = itertools.count(), (*FOLLOWED[:2], grpc.StatusCode.UNAVAILABLE)
    daemon.script.answers["Sessions.Follow"] = lambda _request: broken if next(calls) == 0 else FOLLOWED[2:]
    result = run("follow", "s1")
    assert (result.exit_code, result.stdout) == (0, SHOWN)
    asked = [request for call, request in daemon.script.asked if call == "Sessions.Follow"]
    assert [(request.after, request.from_now) for request in asked] == [(0, True), (2, False)]
    assert "the connection broke" in result.stderr


def followed(request: sessions_pb2.FollowRequest) -> list[sessions_pb2.FollowChunk]:
    """What a daemon sends of a trace that has ended, from where it is asked for."""
    rest = [chunk for chunk in FOLLOWED[1:] if chunk.end > request.after]
    return [sessions_pb2.FollowChunk(session="s1", end=request.after), *rest]


def then_wait(
    release: threading.Event, chunks: Iterable[sessions_pb2.FollowChunk] = FOLLOWED
) -> Iterator[sessions_pb2.FollowChunk]:
    yield from chunks
    release.wait(WAIT_S)


def endless(sent: list[int]) -> Iterator[sessions_pb2.FollowChunk]:
    for end in range(1_000_000):
        sent.append(end)
        yield sessions_pb2.FollowChunk(text="a.py(1): " + "x" * 10_000 + "\n", end=end)


def stands_still(sent: list[int]) -> bool:
    """Whether nothing more is sent for half a second."""
    before = len(sent)
    time.sleep(0.5)
    return len(sent) == before
