"""`execctl report`, `export`, `diff`, `growth`: what they ask of the reports of each collector."""

from __future__ import annotations

import json
import os
import pty
from typing import TYPE_CHECKING, Any

import pytest
from cli.fake_daemon import HOSTILE, REPORT, STOPPED, error_detail, make_profile, make_session, make_target
from execctl.cli import cli
from execctl.commands.export import FORMATS as EXPORTED
from execctl.settings import BIAS, FILTERS, OF_LINES, OF_MEMORY, TIMING, VIEW
from execctl.suggestions import after_profile, summary
from execd.reports import FORMATS, SETTINGS
from execd_api.v1 import reports_pb2, sessions_pb2, targets_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.conftest import Run, Start
    from cli.fake_daemon import FakeDaemon

OF_BLOCKS = ["--include", "*/shop/*", "--include", "cart.py:12", "--exclude", "<unknown>", "--all-frames"]


def settings_of(request: Any) -> Any:
    return json.loads(request.settings_json or "{}")


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], {}),
        (["-m", "--flat"], {"missing": True, "flat": True}),
        (["--ignore-module", "json,email", "--ignore-module", "re"], {"ignore_modules": ["json", "email", "re"]}),
        (["--ignore-dir", "/usr/lib:$prefix/lib"], {"ignore_dirs": ["/usr/lib", "$prefix/lib"]}),
        (["--by", "traceback", "--frames", "-3"], {"by": "traceback", "frames": -3}),
        (["--cumulative", "--most-recent-first"], {"cumulative": True, "most_recent_first": True}),
        (["--domain", "0"], {"domain": 0}),
        (OF_BLOCKS, {"include": ["*/shop/*", "cart.py:12"], "exclude": ["<unknown>"], "all_frames": True}),
        (["--timing"], {"timing": True}),
        (["--view", "gil", "--by", "line"], {"view": "gil", "by": "line"}),
        (["--last", "5m"], {"last_s": 300.0}),
        (["--between", "2026-11-20T10:02Z", "10:05Z"], {"from_s": 1795168920.0, "to_s": 1795169100.0}),
    ],
)
def test_report_sends_what_was_given_and_nothing_else(
    run: Run, daemon: FakeDaemon, options: Sequence[str], settings: dict[str, object]
) -> None:
    assert run("report", "s1", *options).exit_code == 0
    asked = daemon.script.request("Reports.Render")
    assert (asked.subject, asked.format, settings_of(asked)) == ("s1", "text", settings)


@pytest.mark.parametrize(
    "command", [["report"], ["export", "--format", "speedscope"], ["diff", "s1", "s2"]], ids=lambda words: words[0]
)
def test_a_span_of_time_is_asked_for_of_every_report(run: Run, daemon: FakeDaemon, command: list[str]) -> None:
    daemon.script.answers["Reports.Render"] = b"{}"
    run(*command, "--view", "wall", "--between", "2026-11-20T23:58Z", "00:03Z")
    settings = {"view": "wall", "from_s": 1795219080.0, "to_s": 1795219380.0}
    assert settings_of(daemon.script.request("Reports.Render")) == settings


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--last", "5m", "--between", "10:02", "10:05"], "two spans of time"),
        (["--between", "10:02", "25:00"], "there is no time '25:00'"),
        (["--between", "1002", "10:05"], "'1002' is no time: write 10:02"),
        (["--last", "5"], "is no age"),
        (["--view", "all"], "'all' is not one of"),
    ],
)
def test_a_time_that_is_none_is_refused(run: Run, daemon: FakeDaemon, options: list[str], why: str) -> None:
    result = run("report", "s1", *options)
    assert (result.exit_code, daemon.script.calls()) == (2, [])
    assert why in " ".join(result.stderr.split())


def test_an_export_may_go_without_directories(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = '{"name":"a\u202e"}'.encode()
    result = run("export", "p3", "--format", "speedscope", "--strip-dirs")
    assert daemon.script.request("Reports.Render").strip_dirs
    assert (json.loads(result.stdout), result.stdout.isascii()) == ({"name": "a\u202e"}, True)


def test_ignored_directories_may_begin_with_the_home(
    run: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    run("report", "--ignore-dir", "~/lib")
    assert settings_of(daemon.script.request("Reports.Render")) == {"ignore_dirs": ["/home/ann/lib"]}


def test_the_daemon_knows_every_setting_that_the_commands_have() -> None:
    sent = {setting.key for setting in (*OF_LINES, *OF_MEMORY, *FILTERS, TIMING, BIAS, VIEW)}
    assert sent | {"beside", "last_s", "from_s", "to_s"} == set().union(*SETTINGS.values())


def test_every_format_of_the_daemon_can_be_asked_for_by_a_command() -> None:
    formats = set().union(*FORMATS.values())
    assert formats - {"text", "pstats-text", "json", "whole", "summary", "cover", "source"} <= set(EXPORTED)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        (["--format", "cover"], "cover"),
        (["--json"], "json"),
        (["-s"], "summary"),
        (["--file", "cart.py"], "source"),
        (["--file", "cart.py", "--format", "cover"], "cover"),
        (["--json", "--format", "json"], "json"),
    ],
)
def test_options_choose_the_format(run: Run, daemon: FakeDaemon, options: Sequence[str], form: str) -> None:
    daemon.script.answers["Reports.Render"] = b"{}"
    assert run("report", *options).exit_code == 0
    assert daemon.script.request("Reports.Render").format == form


@pytest.mark.parametrize(
    "options",
    [
        ["--json", "-s"],
        ["--format", "cover", "--json"],
        ["-C", "d", "--json"],
        ["-C", "d", "--compare", "p3"],
        ["-C", "d", "-o", "f"],
        ["-C", ""],
    ],
)
def test_two_reports_at_once_are_refused(run: Run, daemon: FakeDaemon, options: Sequence[str]) -> None:
    assert run("report", *options).exit_code == 2
    assert daemon.script.calls() == []


def test_the_listing_goes_to_a_pipe_byte_for_byte_and_to_a_terminal_made_harmless(
    run: Run, start: Start, daemon: FakeDaemon
) -> None:
    daemon.script.answers["Reports.Render"] = "    1: x = '\x1b[2J\xe4'\n".encode("latin-1")
    assert run("report", "--format", "cover").stdout_bytes == b"    1: x = '\x1b[2J\xe4'\n"
    controller, terminal = pty.openpty()
    process = start("--socket", str(daemon.socket), "report", "--format", "cover", stdout=terminal)
    process.communicate(timeout=20)
    os.close(terminal)
    shown = os.read(controller, 4096)
    os.close(controller)
    assert shown == b"    1: x = '\\x1b[2J\\xe4'\r\n"


@pytest.mark.parametrize("form", ["source", "summary"])
def test_what_people_read_is_harmless_wherever_it_goes(run: Run, daemon: FakeDaemon, form: str) -> None:
    daemon.script.answers["Reports.Render"] = HOSTILE.encode()
    assert run("report", "--format", form).stdout == "evil\\x1b[2J\\r\nname\\u202e\\x7f\\x9b"


def test_an_export_takes_the_filters(run: Run, daemon: FakeDaemon) -> None:
    run("export", "p3", "--format", "lcov", "--ignore-module", "json", "--thread", "MainThread")
    asked = daemon.script.request("Reports.Render")
    assert (asked.format, asked.thread, settings_of(asked)) == ("lcov", "MainThread", {"ignore_modules": ["json"]})


def test_diff_asks_for_the_second_against_the_first(run: Run, daemon: FakeDaemon) -> None:
    result = run("diff", "s1", "before deploy", "--by", "lineno", "--cumulative", "--limit", "5", "--json")
    assert daemon.script.request("Reports.Render") == reports_pb2.RenderRequest(
        subject="before deploy",
        format="json",
        limit=["5"],
        compare="s1",
        settings_json='{"by": "lineno", "cumulative": true}',
    )
    assert result.stdout == REPORT.decode()


def test_diff_of_a_thing_with_itself_is_refused(run: Run, daemon: FakeDaemon) -> None:
    assert run("diff", "p3", "p3").exit_code == 2
    assert daemon.script.calls() == []


def test_growth_passes_every_option_on(run: Run, daemon: FakeDaemon) -> None:
    result = run("growth", "4711", "--last", "5", "--limit", "7", "--by", "type", "--json")
    assert daemon.script.request("Reports.Growth") == reports_pb2.GrowthRequest(
        subject="4711", last=5, format="json", limit=7, settings_json='{"by": "type"}'
    )
    assert result.stdout == REPORT.decode()


@pytest.mark.parametrize("last", ["1", "1001", "x"])
def test_growth_is_looked_for_in_several_snapshots(run: Run, daemon: FakeDaemon, last: str) -> None:
    assert run("growth", "--last", last).exit_code == 2
    assert daemon.script.calls() == []


def test_snapshot_compares_as_it_is_told(run: Run, daemon: FakeDaemon) -> None:
    run("snapshot", "--compare", "first", "--by", "traceback")
    asked = daemon.script.request("Reports.Render")
    assert (asked.subject, asked.compare, settings_of(asked)) == ("p7", "first", {"by": "traceback"})


def test_how_to_compare_means_nothing_without_compare(run: Run, daemon: FakeDaemon) -> None:
    assert run("snapshot", "--by", "lineno").exit_code == 2
    assert daemon.script.calls() == []


def test_a_snapshot_that_does_not_compare_does_not_stop_the_others(run: Run, daemon: FakeDaemon) -> None:
    both = sessions_pb2.SnapshotResponse(
        profiles=[make_profile(collector="trace"), make_profile(id="p8", session="s2")]
    )
    daemon.script.answers["Sessions.Snapshot"] = both
    daemon.script.answers["Reports.Render"] = lambda request: (
        error_detail("usage", 2) if request.subject == "p7" else REPORT
    )
    result = run("snapshot", "4711", "--compare")
    assert (result.exit_code, result.stdout) == (0, REPORT.decode())
    assert "p7: this is usage" in result.stderr


def test_where_no_snapshot_compares_the_reason_is_told(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = error_detail("usage", 2)
    assert run("snapshot", "--compare").exit_code == 2


@pytest.mark.parametrize(
    ("collector", "expected"),
    [
        ("calls", ["next: execctl report p7"]),
        ("lines", ["next: execctl report p7 --summary", "next: execctl report p7 --missing --coverdir DIR"]),
        (
            "memory",
            ["next: execctl report p7", "next: execctl snapshot --compare", "next: execctl growth 4711"],
        ),
    ],
)
def test_the_next_command_fits_the_collector(run: Run, daemon: FakeDaemon, collector: str, expected: list[str]) -> None:
    taken = sessions_pb2.SnapshotResponse(profiles=[make_profile(collector=collector)])
    daemon.script.answers["Sessions.Snapshot"] = taken
    suggested = [line for line in run("snapshot").stderr.splitlines() if line.startswith("next:")]
    assert suggested == expected
    for line in suggested:
        name, *_ = line.removeprefix("next: execctl ").split()
        assert name in cli.list_commands(None)  # type: ignore[arg-type]


def test_a_snapshot_by_type_is_a_census_and_leaves_the_process(run: Run, daemon: FakeDaemon) -> None:
    spec = sessions_pb2.SessionSpec(collector="census")
    begun = [make_session(spec=spec)]
    ended = [make_session(spec=spec, state=STOPPED, latest_profile="p9")]
    daemon.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(target=make_target(), sessions=begun)
    daemon.script.answers["Sessions.Stop"] = sessions_pb2.StopResponse(sessions=ended)
    result = run("snapshot", "4711", "--by", "type", "--yes", "--compare")
    assert result.exit_code == 0
    (asked,) = daemon.script.request("Targets.Attach").sessions
    assert (asked.collector, json.loads(asked.options_json)) == ("census", {"confirmed": True})
    assert daemon.script.calls() == ["Targets.Attach", "Sessions.Stop", "Targets.Detach", "Reports.Render"]
    compared = daemon.script.request("Reports.Render")
    assert (compared.subject, compared.compare, compared.settings_json) == ("p9", "prev", "")
    assert result.stdout == REPORT.decode()


@pytest.mark.parametrize(("options", "confirmed"), [([], False), (["--yes"], True)])
def test_a_snapshot_says_whether_it_may_hold_the_process_up(
    run: Run,
    daemon: FakeDaemon,
    options: Sequence[str],
    confirmed: bool,  # noqa: FBT001 - a case
) -> None:
    assert run("snapshot", "4711", *options).exit_code == 0
    assert daemon.script.request("Sessions.Snapshot").confirmed == confirmed


@pytest.mark.parametrize("options", [[], ["4711", "--name", "x"], ["4711", "--cumulative"]])
def test_a_census_is_of_a_process_and_knows_nothing_of_blocks(
    run: Run, daemon: FakeDaemon, options: Sequence[str]
) -> None:
    assert run("snapshot", "--by", "type", *options).exit_code == 2
    assert daemon.script.calls() == []


@pytest.mark.parametrize("collector", ["lines", "cover", "functions", "callers", "memory", "census"])
def test_a_recording_for_a_time_shows_each_of_its_modes(run: Run, daemon: FakeDaemon, collector: str) -> None:
    """Calls have a limit; of what has none no more is shown than fits a screen."""
    spec = sessions_pb2.SessionSpec(collector=collector)
    both = [make_session(), make_session(id="s2", spec=spec)]
    ends = {
        "s1": make_session(state=STOPPED, latest_profile="p6"),
        "s2": make_session(id="s2", spec=spec, state=STOPPED, latest_profile="p7"),
    }
    daemon.script.answers["Targets.Attach"] = targets_pb2.AttachResponse(target=make_target(), sessions=both)
    daemon.script.answers["Sessions.Stop"] = lambda request: sessions_pb2.StopResponse(sessions=[ends[request.session]])
    daemon.script.answers["Sessions.Watch"] = []
    daemon.script.answers["Reports.Render"] = lambda request: f"{request.subject}\n".encode() * 100
    result = run("attach", "4711", "--profile", "--duration", "1s")
    assert result.exit_code == 0
    assert result.stdout == "p6\n" * 100 + "\n" + "p7\n" * 40 + "(60 lines more: execctl report p7)\n"
    limits = [list(request.limit) for call, request in daemon.script.asked if call == "Reports.Render"]
    assert limits == [["15"], []]
    assert "next: execctl report p6\n" in result.stderr
    assert "next: execctl report p7" in result.stderr


def test_an_attach_of_several_modes_names_the_next_command_of_each(run: Run, daemon: FakeDaemon) -> None:
    memory = make_session(id="s2", spec=sessions_pb2.SessionSpec(collector="memory"))
    both = targets_pb2.AttachResponse(target=make_target(), sessions=[make_session(), memory])
    daemon.script.answers["Targets.Attach"] = both
    suggested = [line for line in run("attach", "4711", "--profile", "--memory").stderr.splitlines() if "next:" in line]
    assert suggested == [
        "next: execctl report s1",
        "next: execctl snapshot s2",
        "next: execctl snapshot s2 --compare",
        "next: execctl stop 4711",
        "next: execctl detach 4711",
    ]


def test_of_a_trace_nothing_is_shown_a_second_time() -> None:
    assert summary("p7", "trace") is None
    assert after_profile("p7", "trace") == ("execctl report p7",)
