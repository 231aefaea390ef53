"""The commands about what is stored: profiles and its sub-commands, merge, and how a session is to be kept."""

from __future__ import annotations

import json
import os
import pty
import select
from typing import TYPE_CHECKING, Any

import pytest
from cli.fake_daemon import make_profile, make_session
from execctl.durations import parse_age_s
from execd_api.v1 import profiles_pb2, sessions_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run, Start
    from cli.fake_daemon import FakeDaemon

WAIT_S = 20.0


def stored(daemon: FakeDaemon, *profiles: profiles_pb2.Profile) -> None:
    """What the daemon lists."""

    def listed(request: Any) -> profiles_pb2.ListProfilesResponse:
        return profiles_pb2.ListProfilesResponse(
            profiles=[one for one in profiles if request.session in ("", one.session)]
        )

    daemon.script.answers["Profiles.List"] = listed


def removed(daemon: FakeDaemon) -> list[tuple[str, bool]]:
    asked = [request for call, request in daemon.script.asked if call == "Profiles.Delete"]
    return [(one.profile, one.also_running) for one in asked]  # type: ignore[attr-defined]


def test_a_list_is_of_what_is_asked_for(run: Run, daemon: FakeDaemon) -> None:
    words = ("--collector", "calls", "--label", "env=prod", "--label", "note=a=b", "--newer-than", "7d")
    assert run("profiles", "s3", *words, "--older-than", "1.5h").exit_code == 0
    request = daemon.script.request("Profiles.List")
    assert (request.session, request.collector, dict(request.labels)) == ("s3", "calls", {"env": "prod", "note": "a=b"})
    assert (request.max_age_s, request.min_age_s) == (604_800.0, 5400.0)


@pytest.mark.parametrize(
    "words", [("list", "s1"), ("s1",), ("--session", "s1"), ("--limit", "5", "s1"), ("list", "--session", "s1")]
)
def test_a_list_needs_no_word_for_it(run: Run, daemon: FakeDaemon, words: tuple[str, ...]) -> None:
    assert run("profiles", *words).exit_code == 0
    assert daemon.script.request("Profiles.List").session == "s1"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--label", "env"), "'env' is no label: write KEY=VALUE"),
        (("--label", "a=1", "--label", "a=2"), "the label 'a' has two values"),
        (("--newer-than", "7"), "'7' is no age"),
        (("s1", "--session", "s2"), "two sessions: name one"),
        (("rm", "p7"), "say --yes where nobody can be asked"),
        (("label", "s1", "=x"), "is no label"),
        (("rename", "p7"), "Missing argument 'NAME'"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, daemon: FakeDaemon, words: tuple[str, ...], why: str) -> None:
    result = run("profiles", *words)
    assert (result.exit_code, why in result.stderr) == (2, True), result.stderr
    assert removed(daemon) == []


def test_help_tells_of_the_sub_commands(run: Run) -> None:
    text = run("profiles", "--help").stdout
    assert [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()] == [
        "list",
        "rm",
        "rename",
        "label",
    ]
    assert "--older-than" in run("profiles", "list", "--help").stdout


def test_labels_are_shown(run: Run, daemon: FakeDaemon) -> None:
    stored(daemon, make_profile(labels={"team": "web", "env": "prod"}))
    assert run("profiles").stdout.splitlines()[1].endswith("345    env=prod team=web")
    assert json.loads(run("profiles", "--json").stdout)["profiles"][0]["labels"] == {"env": "prod", "team": "web"}
    spec = sessions_pb2.SessionSpec(collector="calls", labels={"env": "prod"}, into="nightly")
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(sessions=[make_session(spec=spec)])
    daemon.script.asked.clear()
    assert " env=prod " in run("sessions", "--label", "env=prod").stdout
    assert dict(daemon.script.asked[0][1].labels) == {"env": "prod"}
    (record,) = json.loads(run("sessions", "--json").stdout)["sessions"]
    assert (record["labels"], record["into"]) == ({"env": "prod"}, "nightly")


def test_what_is_merged_is_called_so_and_is_of_no_process(run: Run, daemon: FakeDaemon) -> None:
    stored(daemon, make_profile(name="total", reason="merged", pid=0))
    assert run("profiles").stdout.splitlines()[1].split()[:6] == ["p7", "total", "s1", "-", "calls", "merged"]


def test_rm_takes_profiles_names_and_all_of_a_session(run: Run, daemon: FakeDaemon) -> None:
    stored(
        daemon,
        *(make_profile(id="p9", session="s2"), make_profile(id="p8", session="s2"), make_profile(id="p7", name="warm")),
        make_profile(id="p6", name="warm"),
    )
    assert run("profiles", "rm", "--yes", "s2", "warm", "p9").stdout.split() == ["p9", "p8", "p7"]
    assert removed(daemon) == [("p9", False), ("p8", False), ("p7", False)]
    result = run("profiles", "rm", "--yes", "p7", "cold")
    assert (result.exit_code, len(removed(daemon))) == (9, 3)
    assert "there is no profile 'cold'" in result.stderr


def test_rm_of_a_running_sessions_profile_says_so(run: Run, daemon: FakeDaemon) -> None:
    stored(daemon, make_profile(running=True))
    result = run("profiles", "rm", "--yes", "p7")
    assert "p7 is of session s1, which goes on" in result.stderr
    assert removed(daemon) == [("p7", True)]


@pytest.mark.parametrize(("answer", "gone"), [(b"y\n", [("p7", False)]), (b"\n", [])])
def test_rm_asks_on_a_terminal(start: Start, daemon: FakeDaemon, answer: bytes, gone: list[tuple[str, bool]]) -> None:
    master, slave = pty.openpty()
    stdin = os.dup(0)
    os.dup2(slave, 0)
    try:
        execctl = start("--no-start", "--socket", str(daemon.socket), "profiles", "rm", "p7")
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
    os.write(master, answer)
    assert select.select([execctl.stderr], [], [], WAIT_S)[0]
    _, told = execctl.communicate(timeout=WAIT_S)
    assert "Remove 1 profiles, 345 B?" in told
    assert removed(daemon) == gone
    os.close(master)
    os.close(slave)


def test_rename_and_label_say_what_they_did(run: Run, daemon: FakeDaemon) -> None:
    result = run("profiles", "rename", "warm", "cold start")
    assert (result.stdout, "p7 is called cold start" in result.stderr) == ("p7\n", True)
    assert daemon.script.request("Profiles.Rename").name == "cold start"
    assert run("profiles", "label", "s1", "b=2", "a=", "--unlabel", "old").stdout == "s1  a= b=2\n"
    request = daemon.script.request("Profiles.Label")
    assert (request.subject, dict(request.labels), list(request.remove)) == ("s1", {"a": "", "b": "2"}, ["old"])


def test_merge_sends_what_is_to_be_added_and_says_what_was(run: Run, daemon: FakeDaemon) -> None:
    result = run("merge", "s1", "4711", "warm", "--name", "total")
    assert result.stdout == "p9\n"
    assert "p9: calls, the sum of p1, p2, p3, 12 nodes" in result.stderr
    assert "next: execctl report p9" in result.stderr
    request = daemon.script.request("Profiles.Merge")
    assert (list(request.subjects), request.name) == (["s1", "4711", "warm"], "total")
    assert json.loads(run("merge", "s1", "s2", "--json").stdout)["profiles"][0]["reason"] == "merged"
    assert run("merge", "s1").exit_code == 2


def test_attach_says_how_what_it_records_is_kept(run: Run, daemon: FakeDaemon) -> None:
    run("attach", "4711", "--profile", "--label", "env=prod", "--into", "nightly")
    (spec,) = daemon.script.request("Targets.Attach").sessions
    assert (dict(spec.labels), spec.into) == ({"env": "prod"}, "nightly")
    daemon.script.asked.clear()
    run("attach", "4711", "--count", "--trackcalls", "--into", "nightly")
    assert [spec.into for spec in daemon.script.request("Targets.Attach").sessions] == [
        "nightly-lines",
        "nightly-callers",
    ]


def test_import_says_what_stacks_count(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a;b 1\n")
    run("import", "--format", "collapsed", "--unit", "ms", str(tmp_path / "f"))
    request = daemon.script.request("Profiles.Import")
    assert (request.format, request.unit) == ("collapsed", "ms")
    assert run("import", "--unit", "hours", str(tmp_path / "f")).exit_code == 2


def test_ages_have_units() -> None:
    assert [parse_age_s(text) for text in ("30s", "30m", "12h", "7d", "0.5d")] == [30, 1800, 43_200, 604_800, 43_200]
    for wrong in ("", "7", "0d", "-1d", "7w"):
        with pytest.raises(ValueError, match="is no age"):
            parse_age_s(wrong)
