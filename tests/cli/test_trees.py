"""Process trees on the command line: what is asked for, and lists in which a root's session stands for the others."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from cli.fake_daemon import STOPPED, make_profile, make_session, make_target
from execd_api.v1 import profiles_pb2, sessions_pb2, targets_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon

BELOW = 200
# Above what the kernel numbers processes by.
NO_PID = 1 << 23
CHILDREN = sessions_pb2.SessionSpec(collector="calls", children=True)


def a_tree(**changes: Any) -> list[sessions_pb2.Session]:
    """A root and those below it, newest first, as the daemon lists them."""
    below = [make_session(id=f"s{2 + number}", pid=5000 + number, **changes) for number in range(BELOW)]
    return [*reversed(below), make_session(spec=CHILDREN, **changes)]


@pytest.fixture
def tree(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with one tree that ended, and a session beside it."""
    every = [make_session(id="s900", group="g2"), *a_tree(state=STOPPED, ended_at=1_700_000_003.0, latest_profile="p7")]

    def sessions(request: Any) -> sessions_pb2.ListSessionsResponse:
        return sessions_pb2.ListSessionsResponse(sessions=every[: request.limit])

    def profiles(request: Any) -> profiles_pb2.ListProfilesResponse:
        stored = [make_profile(id=f"p{1000 - nth}", session=one.id) for nth, one in enumerate(every)]
        return profiles_pb2.ListProfilesResponse(profiles=stored[: request.limit])

    daemon.script.answers["Sessions.List"] = sessions
    daemon.script.answers["Profiles.List"] = profiles
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=every[1:])
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(
        target=make_target(), was_attached=True, sessions=every[1:]
    )
    return daemon


@pytest.mark.parametrize("words", [["sessions", "--all"], ["profiles"]])
def test_a_list_shows_a_tree_as_one_line(run: Run, tree: FakeDaemon, words: list[str]) -> None:
    assert tree.script.answers
    for limit in ("2", "100"):
        lines = run(*words, "--limit", limit).stdout.splitlines()[1:]
        assert len(lines) == 2
        assert f"s1 (+{BELOW})" in lines[1]
    assert len(run(*words, "--children", "--limit", "150").stdout.splitlines()) == 151
    listed, *_ = json.loads(run(*words, "--json", "--limit", "150").stdout).values()
    assert len(listed) == 150


@pytest.mark.parametrize("words", [["stop", "s1"], ["detach"]])
def test_the_end_of_a_tree_is_one_line(run: Run, tree: FakeDaemon, words: list[str]) -> None:
    assert tree.script.answers
    result = run(*words)
    (line,) = result.stdout.splitlines()[1:]
    assert line.startswith(f"s1 (+{BELOW}) ")
    assert "next: execctl report s1\n" in result.stderr
    assert result.stderr.count("next: execctl detach") == (words[0] == "stop")


def test_attach_for_a_time_shows_the_report_of_the_whole_tree(run: Run, tree: FakeDaemon) -> None:
    tree.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(
        target=make_target(), sessions=[make_session(spec=CHILDREN)], notes=["one note"]
    )
    tree.script.answers["Sessions.Watch"] = [make_session(spec=CHILDREN)]
    result = run("attach", "4711", "--profile", "--children", "--duration", "50ms")
    assert result.exit_code == 0
    assert tree.script.request("Targets.Attach").sessions[0].children
    assert tree.script.request("Reports.Render").subject == "s1"
    assert "one note\n" in result.stderr
    assert f"recorded s1 (calls, {BELOW + 1} processes): see execctl report s1" in result.stderr


@pytest.mark.parametrize(("looks", "going_on"), [(3, 1), (1 << 30, 2)], ids=["late", "never"])
def test_a_process_that_has_ended_is_waited_for_and_not_for_ever(
    run: Run, tree: FakeDaemon, monkeypatch: pytest.MonkeyPatch, looks: int, going_on: int
) -> None:
    monkeypatch.setattr("execctl.descendants._MOST_S", 1.0)
    _, *over = a_tree(state=STOPPED, ended_at=1_700_000_003.0, latest_profile="p7")[-3:]
    left = [looks]

    def sessions(_: Any) -> sessions_pb2.ListSessionsResponse:
        left[0] -= 1
        # One goes on: it is not waited for. Of the other one the daemon has not seen the end yet.
        alive = make_session(id="s3", pid=os.getpid(), latest_profile="p8")
        late = over[0] if left[0] <= 0 else make_session(id=over[0].id, pid=NO_PID, latest_profile="p8")
        return sessions_pb2.ListSessionsResponse(sessions=[alive, late, *over[1:]])

    tree.script.answers["Sessions.List"] = sessions
    tree.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(
        target=make_target(), sessions=[make_session(spec=CHILDREN)]
    )
    tree.script.answers["Sessions.Watch"] = [make_session(spec=CHILDREN)]
    result = run("attach", "4711", "--profile", "--children", "--duration", "50ms")
    assert f"recorded s1 (calls, 3 processes, {going_on} not over yet): see" in result.stderr


@pytest.mark.parametrize(
    ("below", "said"),
    [
        (0, "process 4711 has no descendants that are recorded yet: those that come later will be"),
        (1, "process 4711 and 1 descendant are recorded, and those that come later"),
        (3, "process 4711 and 3 descendants are recorded, and those that come later"),
    ],
)
def test_attach_says_how_many_processes_it_took(run: Run, daemon: FakeDaemon, below: int, said: str) -> None:
    root = make_session(spec=CHILDREN, caveats=["known"])
    daemon.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(target=make_target(), sessions=[root])
    # They come one after the other; a second session of one of them is no second process.
    others = [make_session(id="s800", group="g9", pid=1), make_session(id="s801", pid=5000 + below - 1)][: 1 + below]
    lists = [
        [make_session(id=f"s{2 + nth}", pid=5000 + nth) for nth in range(count)] + others for count in range(below + 1)
    ]

    def sessions(request: Any) -> sessions_pb2.ListSessionsResponse:
        assert request.running_only
        now = make_session(spec=CHILDREN, caveats=["known", "1 of its descendants is not recorded: ended before"])
        return sessions_pb2.ListSessionsResponse(sessions=[now, *(lists.pop(0) if len(lists) > 1 else lists[0])])

    daemon.script.answers["Sessions.List"] = sessions
    result = run("attach", "4711", "--profile", "--children")
    assert result.exit_code == 0
    assert result.stdout == "s1\n"
    told = result.stderr.splitlines()
    place = told.index(said)
    assert told[place - 1] == "s1: known"
    assert told[place + 1] == "1 of its descendants is not recorded: ended before"


def test_attach_to_one_process_lists_nothing(run: Run, daemon: FakeDaemon) -> None:
    assert "descendant" not in run("attach", "4711", "--profile").stderr
    assert "Sessions.List" not in daemon.script.calls()


def test_report_and_export_ask_for_processes(run: Run, daemon: FakeDaemon) -> None:
    run("report", "s1", "--per-process", "--process", "4711")
    asked = daemon.script.request("Reports.Render")
    assert (asked.per_process, asked.process) == (True, 4711)
    daemon.script.asked.clear()
    run("export", "s1", "--format", "collapsed", "--per-process")
    asked = daemon.script.request("Reports.Render")
    assert (asked.per_process, asked.process) == (True, 0)
    assert run("report", "s1", "--process", "0").exit_code == 2


def test_what_is_left_of_a_tree_is_suggested_whole(run: Run, daemon: FakeDaemon) -> None:
    # The daemon tells of the root's sessions alone.
    ended = [make_session(spec=CHILDREN, state=STOPPED, ended_at=1_700_000_003.0, latest_profile="p7")]
    daemon.script.answers["Targets.Detach"] = targets_pb2.DetachResponse(
        target=make_target(), was_attached=True, sessions=ended
    )
    assert "next: execctl report s1\n" in run("detach").stderr


def test_a_snapshot_of_a_tree_is_one_line_and_compares_once(run: Run, tree: FakeDaemon) -> None:
    taken = [
        make_profile(id="p7", name="a"),
        *(make_profile(id=f"p{8 + nth}", session=f"s{2 + nth}") for nth in (0, 1)),
    ]
    tree.script.answers["Sessions.Snapshot"] = sessions_pb2.SnapshotResponse(profiles=taken)
    result = run("snapshot", "s1", "--name", "a")
    assert result.stdout == "p7\n"
    assert f"p7: calls of session s1 (+{BELOW}), 36 nodes\n" in result.stderr
    run("snapshot", "s1", "--compare")
    assert tree.script.request("Reports.Render").subject == "p7"


def test_a_snapshot_that_is_called_otherwise_says_so(run: Run, daemon: FakeDaemon) -> None:
    taken = [make_profile(id="p7", name="a-calls"), make_profile(id="p8", session="s2", name="a-memory")]
    daemon.script.answers["Sessions.Snapshot"] = sessions_pb2.SnapshotResponse(profiles=taken)
    result = run("snapshot", "4711", "--name", "a")
    assert "p7: calls of session s1, 12 nodes, called a-calls\n" in result.stderr
