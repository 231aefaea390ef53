"""`execctl snapshot`, and the optional value of --compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import REPORT, error_detail, make_profile
from execctl.comparison import with_comparison
from execd_api.v1 import sessions_pb2

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [
        (["4711", "--compare"], ["4711", "--compare=prev"]),
        (["--compare", "4711"], ["--compare=prev", "4711"]),
        (["--compare", "s12"], ["--compare=prev", "s12"]),
        (["--compare", "p34", "s12"], ["--compare=p34", "s12"]),
        (["--compare", "before deploy"], ["--compare=before deploy"]),
        (["--compare", "--name", "x"], ["--compare=prev", "--name", "x"]),
        (["--compare", "-1"], ["--compare=-1"]),
        (["--compare", "--", "4711"], ["--compare=prev", "--", "4711"]),
        (["--", "--compare", "4711"], ["--", "--compare", "4711"]),
        (["--compare", ""], ["--compare=prev", ""]),
    ],
)
def test_compare_gets_its_value_before_click_sees_it(given: list[str], rewritten: list[str]) -> None:
    assert with_comparison(given) == rewritten


def test_snapshot_prints_the_profile_and_suggests_its_report(run: Run, daemon: FakeDaemon) -> None:
    result = run("snapshot", "4711", "--name", "before")
    asked = daemon.script.request("Sessions.Snapshot")
    assert (asked.session, asked.name) == ("4711", "before")
    assert result.stdout == "p7\n"
    assert "next: execctl report p7" in result.stderr


def test_snapshot_of_a_process_prints_each_of_its_profiles(run: Run, daemon: FakeDaemon) -> None:
    both = sessions_pb2.SnapshotResponse(profiles=[make_profile(), make_profile(id="p8", session="s2")])
    daemon.script.answers["Sessions.Snapshot"] = both
    assert run("snapshot", "4711").stdout == "p7\np8\n"


def test_snapshot_compare_with_digits_takes_them_for_the_process(run: Run, daemon: FakeDaemon) -> None:
    result = run("snapshot", "--compare", "4711")
    assert daemon.script.request("Sessions.Snapshot").session == "4711"
    assert daemon.script.request("Reports.Render").compare == "prev"
    assert result.stdout == REPORT.decode()


def test_snapshot_compare_renders_the_new_profile_after_it_was_taken(run: Run, daemon: FakeDaemon) -> None:
    run("snapshot", "s1", "--compare", "first")
    asked = daemon.script.request("Reports.Render")
    assert daemon.script.calls() == ["Sessions.Snapshot", "Reports.Render"]
    assert (asked.subject, asked.compare) == ("p7", "first")


def test_snapshot_with_nothing_earlier_says_so_and_succeeds(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = error_detail("not_found", 9)
    result = run("snapshot", "--compare")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "p7: nothing earlier to compare with" in result.stderr


def test_snapshot_compare_with_a_name_that_is_none_fails(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = error_detail("not_found", 9)
    result = run("snapshot", "--compare", "p99")
    assert result.exit_code == 9
    assert "p7: calls of session s1" in result.stderr


@pytest.mark.parametrize("arguments", [["--compare", "-1"], ["--compare=-1"], ["--compare=4711"]])
def test_compare_with_something_that_is_no_profile_says_what_it_takes(
    run: Run, daemon: FakeDaemon, arguments: list[str]
) -> None:
    result = run("snapshot", *arguments)
    assert (result.exit_code, daemon.script.calls()) == (2, [])
    assert "write NAME, pN, prev or first" in result.stderr
