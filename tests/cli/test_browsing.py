"""`execctl browse` against a fake daemon: what each verb asks for, and what is said where that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli.fake_daemon import error_detail, make_profile
from click.testing import CliRunner
from execctl.cli import cli
from execd_api.v1 import profiles_pb2, reports_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon
    from click.testing import Result


def browse(daemon: FakeDaemon, *lines: str, subjects: tuple[str, ...] = ("p7",)) -> Result:
    """Execctl in this process, told these lines."""
    command = ["--no-start", "--socket", str(daemon.socket), "browse", *subjects]
    return CliRunner().invoke(cli, command, input="".join(f"{line}\n" for line in lines), catch_exceptions=False)


def asked(daemon: FakeDaemon) -> Any:
    """The last table that was asked for."""
    return daemon.script.asked[-1][1]


@pytest.mark.parametrize("command", [["report"], ["export", "--format", "pstats"]])
def test_several_subjects_are_asked_for_as_one(run: Run, daemon: FakeDaemon, command: list[str]) -> None:
    run(*command, "s1", "p3", "name")
    request = daemon.script.request("Reports.Render")
    assert (request.subject, list(request.added)) == ("s1", ["p3", "name"])


def test_a_verb_asks_for_all_that_was_done_before(daemon: FakeDaemon) -> None:
    browse(daemon, "add p8", "sort time", "strip", "sort name nfl", "reverse", "callees 3 .5 main 1e-5")
    request = asked(daemon)
    assert request == reports_pb2.RenderRequest(
        subject="p7",
        added=["p7"],
        format="pstats-text",
        sort=["name", "nfl"],
        reverse=True,
        limit=["3", "0.5", "main", "0.00001"],
        view=reports_pb2.VIEW_CALLEES,
        settings_json=request.settings_json,
    )
    assert json.loads(request.settings_json) == {"steps": ["add", "strip"], "files": ["", ""]}


def test_a_second_reversal_takes_the_first_back_and_without_an_order_there_is_none(daemon: FakeDaemon) -> None:
    for lines, expected in {
        ("reverse", "stats"): False,
        ("sort time", "reverse", "stats"): True,
        ("sort time", "reverse", "reverse", "stats"): False,
        ("sort time", "reverse", "strip", "stats"): False,
        ("sort time", "reverse", "sort time", "stats"): False,
    }.items():
        browse(daemon, *lines)
        assert asked(daemon).reverse is expected, lines


def test_callees_that_were_printed_are_those_of_then_until_directories_are_stripped(daemon: FakeDaemon) -> None:
    browse(daemon, "callees", "callees", "add p8", "strip", "callees", "stats")
    assert json.loads(asked(daemon).settings_json)["steps"] == ["callees", "add", "strip", "callees"]


def test_what_the_daemon_refuses_is_told_and_the_next_line_comes(daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = error_detail("usage", 2, message="this cannot be")
    result = browse(daemon, "help quit")
    assert "this cannot be" in result.stderr
    assert "Leave the profile browser." in result.stdout
    assert result.stdout.endswith("Goodbye.\n")
    assert result.exit_code == 0


def test_nothing_means_the_newest_profile(daemon: FakeDaemon) -> None:
    daemon.script.answers["Profiles.List"] = profiles_pb2.ListProfilesResponse(profiles=[make_profile(id="p31")])
    assert "p31% " in browse(daemon, "quit", subjects=()).stdout


def test_where_nothing_is_stored_nothing_is_loaded_and_pstats_says_the_same(daemon: FakeDaemon) -> None:
    daemon.script.answers["Profiles.List"] = profiles_pb2.ListProfilesResponse()
    lines = (
        "stats 1.5 5",
        "sort time",
        "sort",
        "strip",
        "reverse",
        "callers 1",
        "",
        "callees",
        "read",
        "add some",
        "?",
    )
    told = browse(daemon, *lines, subjects=())
    command = [sys.executable, "-m", "pstats"]
    script = "".join(f"{line}\n" for line in lines)
    theirs = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == theirs.stdout
    assert told.stdout.count("No statistics object is loaded.") == len(lines) - 2


def test_a_file_is_imported_once_while_it_stays_the_same(daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "a.prof"
    file.write_bytes(b"one")
    browse(daemon, f"read {file}", "read", f"add {file}", "stats", subjects=())
    assert daemon.script.calls().count("Profiles.Import") == 1
    (head, again) = json.loads(asked(daemon).settings_json)["files"]
    assert head == again
    assert head.endswith(f"    {file}")


def test_names_are_searched_by_an_expression_and_cannot_drive_a_terminal(daemon: FakeDaemon) -> None:
    functions = [
        {"file": "/srv/a.py", "line": 3, "name": "work"},
        {"file": "~", "line": 0, "name": "<built-in method len>"},
        {"file": "/srv/\x1b[2J.py", "line": 9, "name": "rework"},
    ]
    daemon.script.answers["Reports.Render"] = json.dumps({"functions": functions}).encode()
    out = browse(daemon, "/work", "/^{").stdout
    assert "/srv/a.py:3(work)\n" in out
    assert r"/srv/\x1b[2J.py:9(rework)" in out
    assert "{built-in method len}\n" in out
