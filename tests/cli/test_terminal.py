"""What reaches a terminal: nothing raw of a target, no unwanted colour, no noise when a reader goes away."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import HOSTILE, REPORT, STOPPED, error_detail, make_profile, make_session, make_target
from execctl.escape import escape, escape_json, escape_lines, escape_styled
from execd_api.v1 import profiles_pb2, reports_pb2, sessions_pb2, targets_pb2
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run, Start
    from cli.fake_daemon import FakeDaemon

COMMANDS = [
    ["ps"],
    ["ps", "--json"],
    ["sessions"],
    ["sessions", "--json"],
    ["profiles"],
    ["profiles", "--json"],
    ["attach", "4711", "--profile"],
    ["attach", "4711", "--profile", "--duration", "50ms"],
    ["stop"],
    ["detach"],
    ["snapshot"],
    ["snapshot", "--compare"],
    ["report"],
    ["export", "--format", "collapsed"],
]


def make_hostile(daemon: FakeDaemon) -> None:
    target = make_target(4711, "python", HOSTILE)
    target.python_version = HOSTILE
    session = make_session(
        name=HOSTILE,
        command_line=[HOSTILE],
        form=HOSTILE,
        reason=HOSTILE,
        caveats=[HOSTILE],
        latest_profile="p7",
    )
    ended = sessions_pb2.Session()
    ended.CopyFrom(session)
    ended.state = STOPPED
    profile = make_profile(name=HOSTILE, reason=HOSTILE, collector=HOSTILE)
    candidate = targets_pb2.Candidate(target=target, user=HOSTILE, reason=HOSTILE)
    daemon.script.answers |= {
        "Targets.List": targets_pb2.ListTargetsResponse(candidates=[candidate]),
        "Targets.Attach": targets_pb2.AttachResponse(target=target, sessions=[session], method=HOSTILE),
        "Targets.Detach": targets_pb2.DetachResponse(
            target=target, sessions=[ended], was_attached=True, residue=[HOSTILE]
        ),
        "Sessions.List": sessions_pb2.ListSessionsResponse(sessions=[session]),
        "Sessions.Watch": [session],
        "Sessions.Stop": sessions_pb2.StopResponse(sessions=[ended]),
        "Sessions.Snapshot": sessions_pb2.SnapshotResponse(profiles=[profile]),
        "Profiles.List": profiles_pb2.ListProfilesResponse(profiles=[profile]),
        "Reports.Render": HOSTILE.encode() + b"\xff\xfe",
    }


def is_harmless(text: str) -> bool:
    return text.replace("\n", "").isprintable()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_a_target_says_never_reaches_the_terminal_raw(run: Run, daemon: FakeDaemon, command: list[str]) -> None:
    make_hostile(daemon)
    result = run(*command)
    assert result.exit_code == 0
    assert "evil" in result.stdout + result.stderr
    assert is_harmless(result.stdout)
    assert is_harmless(result.stderr)


@pytest.mark.parametrize("command", [["ps"], ["sessions"], ["profiles"]], ids=" ".join)
def test_what_a_target_says_cannot_fake_a_line(run: Run, daemon: FakeDaemon, command: list[str]) -> None:
    make_hostile(daemon)
    assert len(run(*command).stdout.splitlines()) == 2


def test_an_error_that_quotes_a_target_is_harmless(run: Run, daemon: FakeDaemon) -> None:
    detail = error_detail("ambiguous", 2, message=HOSTILE, remedy=HOSTILE, facts={HOSTILE: f"{HOSTILE}2"})
    daemon.script.answers["Targets.List"] = detail
    assert is_harmless(run("ps").stderr)


def test_json_keeps_the_exact_text(run: Run, daemon: FakeDaemon) -> None:
    make_hostile(daemon)
    (record,) = json.loads(run("ps", "--json").stdout)["targets"]
    assert record["command_line"] == ["python", HOSTILE]


@given(st.text(st.characters(codec=None)))
def test_an_escaped_text_is_printable_and_keeps_its_printable_part(text: str) -> None:
    assert escape(text).isprintable()
    assert text.isprintable() == (escape(text) == text)


@given(st.text(st.characters(codec=None)))
def test_escaped_lines_are_as_many_as_before(text: str) -> None:
    assert escape_lines(text).count("\n") == text.count("\n")


@given(st.recursive(st.text(st.characters(codec=None)), lambda inner: st.lists(inner), max_leaves=5))
def test_an_escaped_json_text_has_the_same_value(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(escape_json(text)) == json.loads(json.dumps(value))
    assert is_harmless(escape_json(text))


def test_a_lone_surrogate_is_escaped() -> None:
    assert escape("a\udcff") == "a\\udcff"


def on_terminal(start: Start, *arguments: str, stream: str = "stdout", columns: int = 0) -> str:
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, columns))
    process = start(*arguments, **{stream: terminal})
    os.close(terminal)
    shown = b""
    # A terminal whose other side is closed fails with EIO where a pipe would be at its end.
    with suppress(OSError):
        while data := os.read(controller, 65536):
            shown += data
    process.communicate(timeout=20)
    os.close(controller)
    return shown.decode()


def test_progress_is_one_line_that_is_rewritten_and_then_gone(
    start: Start, daemon: FakeDaemon, process_environment: dict[str, str]
) -> None:
    process_environment["TERM"] = "xterm"
    command = ["--socket", str(daemon.socket), "attach", "4711", "--profile", "--duration", "300ms"]
    shown = on_terminal(start, *command, stream="stderr")
    assert "\r\x1b[Ks1: recording for 300 ms; " in shown
    assert "\r\x1b[Ks1: running for " in shown
    assert "Ctrl-C keeps the data\r\x1b[Kleft in the target" in shown


def test_a_terminal_gets_a_bold_head(start: Start, daemon: FakeDaemon, process_environment: dict[str, str]) -> None:
    process_environment.pop("NO_COLOR", None)
    process_environment["TERM"] = "xterm"
    assert on_terminal(start, "--socket", str(daemon.socket), "ps").startswith("\x1b[1mPID")


def test_a_terminal_gets_lines_that_fit_it(start: Start, daemon: FakeDaemon) -> None:
    shown = on_terminal(start, "--socket", str(daemon.socket), "ps", columns=40)
    assert shown.splitlines()[1] == "4711  www   3.11.7  no        python ..."


def test_a_narrow_terminal_gets_the_whole_reason_below_its_process(start: Start, daemon: FakeDaemon) -> None:
    reason = "process 4711 belongs to user 33, and this daemon runs as user 1000"
    refused = targets_pb2.Candidate(target=make_target(), user="www", reason=reason)
    free = targets_pb2.Candidate(target=make_target(4712), user="www")
    daemon.script.answers["Targets.List"] = targets_pb2.ListTargetsResponse(candidates=[refused, free])
    shown = on_terminal(start, "--socket", str(daemon.socket), "ps", columns=60).splitlines()
    assert [line[:4] for line in shown[1:]] == ["4711", "    ", "    ", "4712"]
    assert " ".join(" ".join(shown[2:4]).split()) == reason
    assert max(map(len, shown[1:])) <= 60


def test_a_narrow_terminal_gets_what_a_check_found_and_the_remedy(start: Start, daemon: FakeDaemon) -> None:
    found, remedy = "it is being traced by process 99", "end that debugger or strace first"
    check = targets_pb2.Check(name="not traced", outcome=targets_pb2.OUTCOME_FAILED, detail=found, remedy=remedy)
    daemon.script.answers["Targets.Inspect"] = targets_pb2.Candidate(target=make_target(), checks=[check])
    shown = on_terminal(start, "--socket", str(daemon.socket), "doctor", "4711", columns=50).splitlines()
    assert shown[1:] == ["not traced  fail", f"    {found}", f"    {remedy}"]


@pytest.mark.parametrize("command", ["ps", "sessions"])
def test_a_pipe_gets_command_lines_whole(run: Run, daemon: FakeDaemon, command: str) -> None:
    long = ["python", "x" * 500, "last"]
    plain, wide = make_target(4712), make_target(4711, *long)
    rows = [targets_pb2.Candidate(target=target, user="www", reason="no") for target in (wide, plain)]
    daemon.script.answers["Targets.List"] = targets_pb2.ListTargetsResponse(candidates=rows)
    daemon.script.answers["Sessions.List"] = sessions_pb2.ListSessionsResponse(
        sessions=[make_session(command_line=long), make_session()]
    )
    _, first, second = run(command).stdout.splitlines()
    assert " ".join(long) in first
    assert len(second) < 200


def test_no_color_is_obeyed(start: Start, daemon: FakeDaemon, process_environment: dict[str, str]) -> None:
    process_environment |= {"NO_COLOR": "1", "TERM": "xterm"}
    assert "\x1b" not in on_terminal(start, "--socket", str(daemon.socket), "ps")


STYLED = b"\x1b[1mself s\x1b[0m \x1b[1;33mCaveat:\x1b[0m \x1b[8mhidden \x1b[2J\x1b[5;31m \x1b[99m\x07\n"


@pytest.mark.parametrize(
    ("environment", "arguments", "asked"),
    [
        ({}, (), reports_pb2.Layout(width=83, color=True)),
        ({"COLUMNS": "70"}, ("--color", "never"), reports_pb2.Layout(width=70)),
        ({"COLUMNS": "wide"}, ("--wide",), reports_pb2.Layout(width=83, color=True, wide=True)),
        ({"NO_COLOR": "1"}, ("--no-header",), reports_pb2.Layout(width=83, no_header=True)),
        ({"TERM": "dumb", "PYTHONIOENCODING": "ascii"}, ("-o", "-"), reports_pb2.Layout(width=83, ascii=True)),
    ],
    ids=str,
)
def test_a_report_is_asked_for_as_the_terminal_takes_it(
    start: Start,
    daemon: FakeDaemon,
    process_environment: dict[str, str],
    environment: dict[str, str],
    arguments: tuple[str, ...],
    asked: reports_pb2.Layout,
) -> None:
    for name in ("NO_COLOR", "COLUMNS", "PYTHONIOENCODING"):
        process_environment.pop(name, None)
    process_environment |= {"TERM": "xterm", **environment}
    on_terminal(start, "--socket", str(daemon.socket), "report", *arguments, columns=83)
    assert daemon.script.request("Reports.Render").layout == asked


def test_a_pipe_and_a_file_get_the_usual_width_and_no_colour(
    run: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    for arguments in ((), ("-o", str(tmp_path / "report")), ("--color", "always")):
        run("report", *arguments)
    plain, to_file, colored = (request for _, request in daemon.script.asked)
    assert not plain.HasField("layout")
    assert not to_file.HasField("layout")
    assert colored.layout == reports_pb2.Layout(color=True)


@pytest.mark.parametrize("command", [["report"], ["diff", "p1", "p2"], ["growth"]], ids=" ".join)
def test_of_the_control_characters_of_a_report_only_its_colours_pass(
    run: Run, daemon: FakeDaemon, command: list[str]
) -> None:
    daemon.script.answers |= {"Reports.Render": STYLED, "Reports.Growth": STYLED}
    assert is_harmless(run(*command).stdout)
    colored = run(*command, "--color", "always").stdout
    assert "\x1b[1mself s\x1b[0m \x1b[1;33mCaveat:\x1b[0m " in colored
    assert is_harmless(colored.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[1;33m", ""))


def test_a_listing_has_no_colours_but_its_source_s_own(start: Start, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = STYLED
    words = ["--socket", str(daemon.socket), "report", "--format", "cover", "--color", "always"]
    assert is_harmless(on_terminal(start, *words).replace("\r", ""))


@given(st.text(st.characters(codec=None)))
def test_a_styled_text_without_styles_is_escaped_as_any(text: str) -> None:
    assert escape_styled(text) == escape_lines(text) or "\x1b[" in text


def test_a_reader_that_goes_away_is_no_error(start: Start, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = b"a line of a report\n" * 200_000
    process = start("--socket", str(daemon.socket), "report")
    with subprocess.Popen(["head", "-1"], stdin=process.stdout, stdout=subprocess.PIPE, text=True) as head:
        assert process.stdout is not None
        process.stdout.close()
        assert head.communicate(timeout=20)[0] == "a line of a report\n"
    assert process.stderr is not None
    assert process.stderr.read() == "since attach\n"
    assert process.wait(20) == 0


PRINTING = [
    ["--help"],
    ["--version"],
    ["completion", "bash"],
    ["ps", "--json"],
    ["doctor", "4711"],
    ["sessions"],
    ["stop"],
    ["export", "--format", "collapsed"],
]


@pytest.mark.parametrize(
    ("redirection", "exit_code", "said"),
    [
        (">/dev/full", 2, "cannot write to standard output: No space left on device"),
        (">&-", 2, "cannot write to standard output: it is closed"),
        ("| true", 0, ""),
    ],
)
def test_no_command_minds_where_its_output_goes(
    daemon: FakeDaemon, process_environment: dict[str, str], redirection: str, exit_code: int, said: str
) -> None:
    # A pipe whose reader has gone away: `true` ends before execctl prints.
    shell = f'set -o pipefail; "$0" "$@" {redirection}'
    execctl = [sys.executable, "-m", "execctl", "--socket", str(daemon.socket)]
    started = [
        subprocess.Popen(
            ["bash", "-c", shell, *execctl, *command], stderr=subprocess.PIPE, text=True, env=process_environment
        )
        for command in PRINTING
    ]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    # What click prints itself goes nowhere, and says so nowhere, where there is no stream.
    by_click = 2 if redirection == ">&-" else 0
    assert [code for _, code in ends] == [0] * by_click + [exit_code] * (len(PRINTING) - by_click)
    assert all(said in text for text, _ in ends[by_click:])
    assert not [text for text, _ in ends if "Traceback" in text or "Exception" in text or "bug" in text]


def test_a_closed_stderr_is_no_error(daemon: FakeDaemon, process_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "execctl", "--socket", str(daemon.socket), "report"]
    shell = ["bash", "-c", '"$0" "$@" 2>&-', *command]
    done = subprocess.run(shell, stdout=subprocess.PIPE, env=process_environment, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, REPORT)


def test_a_full_disk_behind_stdout_is_told(start: Start, daemon: FakeDaemon) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = start("--socket", str(daemon.socket), "report", stdout=full)
    _, stderr = process.communicate(timeout=20)
    os.close(full)
    assert process.returncode == 2
    assert "cannot write to standard output: No space left on device" in stderr


def test_a_stream_that_knows_no_unicode_gets_escapes(
    start: Start, daemon: FakeDaemon, process_environment: dict[str, str]
) -> None:
    process_environment |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    daemon.script.answers["Profiles.List"] = profiles_pb2.ListProfilesResponse(profiles=[make_profile(name="größer")])
    stdout, _ = start("--socket", str(daemon.socket), "profiles").communicate(timeout=20)
    assert "gr\\xf6\\xdfer" in stdout
