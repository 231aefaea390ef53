"""What execctl asks of times: clocks, timers, and what recording cost."""

from __future__ import annotations

import json
import platform
import sys
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import error_detail
from execctl import output
from execctl.calibration import EventCosts

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon

ALWAYS = {"builtins": True, "subcalls": True}


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--clock", "cpu"], {"clock": "cpu"}),
        (["--timer", "time:process_time"], {"timer": "time:process_time"}),
        (["--timer", "app:ticks", "--timeunit", "1e-6"], {"timer": "app:ticks", "timeunit": 1e-6}),
        (["--bias", "auto"], {"bias": "auto"}),
        (["--bias", "0"], {"bias": 0.0}),
        (["--bias", "1.2e-6"], {"bias": 1.2e-6}),
        ([], {}),
    ],
    ids=" ".join,
)
def test_an_attach_hands_on_what_is_given(
    run: Run, daemon: FakeDaemon, words: list[str], options: dict[str, object]
) -> None:
    result = run("attach", "4711", "--profile", *words)
    assert result.exit_code == 0, result.stderr
    asked = daemon.script.request("Targets.Attach")
    assert json.loads(asked.sessions[0].options_json) == ALWAYS | options


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--bias", "-1"], "'-1' is neither auto nor from 0 to 1 seconds"),
        (["--bias", "much"], "'much' is neither auto"),
        (["--bias", "nan"], "'nan' is neither auto"),
        (["--timer", "a:b", "--timeunit", "0"], "'0' is no number of seconds above 0"),
        (["--timer", "ticks"], "'ticks' is no timer: write module:function"),
        (["--timeunit", "1"], "--timeunit belongs to --timer"),
        (["--timer", "a:b", "--clock", "cpu"], "--clock and --timer are two clocks"),
        (["--clock", "sun"], "'sun' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    run: Run, daemon: FakeDaemon, words: list[str], told: str
) -> None:
    result = run("attach", "4711", "--profile", *words)
    assert (result.exit_code, daemon.script.calls()) == (2, [])
    assert told in " ".join(result.stderr.split())


def test_a_bias_belongs_to_calls(run: Run, daemon: FakeDaemon) -> None:
    result = run("attach", "4711", "--count", "--bias", "0")
    assert (result.exit_code, daemon.script.calls()) == (2, [])
    assert "--bias belongs to --profile" in result.stderr


@pytest.mark.parametrize(("given", "asked"), [("auto", "auto"), ("0", 0.0), ("2e-6", 2e-6)])
def test_a_report_asks_for_its_bias(run: Run, daemon: FakeDaemon, given: str, asked: object) -> None:
    assert run("report", "p1", "--bias", given).exit_code == 0
    assert json.loads(daemon.script.request("Reports.Render").settings_json) == {"bias": asked}


@pytest.mark.parametrize("words", [[], ["4711", "--python", "python3"]])
def test_calibrate_is_told_where(run: Run, daemon: FakeDaemon, words: list[str]) -> None:
    result = run("calibrate", *words)
    assert (result.exit_code, daemon.script.calls()) == (2, [])
    assert "name a process, or an interpreter by --python" in result.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
def test_calibrate_says_what_it_waits_for_to_who_sits_there(
    run: Run,
    daemon: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,  # noqa: FBT001 - a case
) -> None:
    monkeypatch.setattr(output, "_is_terminal", lambda _stream: is_terminal)
    daemon.script.answers["Targets.Attach"] = error_detail("internal", 10)
    result = run("calibrate", "--python", sys.executable)
    # The fake daemon runs nothing: it is said before.
    said = f"starting Python {platform.python_version()}, and recording calls there for some seconds\n"
    assert result.stderr.startswith(said) is is_terminal
    assert ("recording calls there" in result.stderr) is is_terminal


@pytest.mark.parametrize(("dearer", "is_told"), [(1.0, False), (1.04, False), (1.05, True), (1.44, True)])
def test_calibrate_tells_both_prices(
    run: Run,
    daemon: FakeDaemon,  # noqa: ARG001 - the one that is asked
    monkeypatch: pytest.MonkeyPatch,
    dearer: float,
    is_told: bool,  # noqa: FBT001 - a case
) -> None:
    costs = EventCosts("3.12.1", 1e-6, 2e-6, 3e-6, 4e-6, 5e-7, dearer)
    monkeypatch.setattr("execctl.commands.calibrate.costs_in_process", lambda *_: costs)
    result = run("calibrate", "4711")
    assert "a C function" in result.stdout
    assert (f"the program's own cost {dearer:.1f} times as much" in result.stdout + result.stderr) is is_told
    assert json.loads(run("calibrate", "4711", "--json").stdout)["dearer"] == dearer


def test_a_refused_timer_has_a_remedy(run: Run, daemon: FakeDaemon) -> None:
    refusal = "process 4711: the timer a:b: the program has not imported a"
    daemon.script.answers["Targets.Attach"] = error_detail("collector_refused", 6, message=refusal, remedy="")
    result = run("attach", "4711", "--profile", "--timer", "a:b")
    assert result.exit_code == 6
    assert refusal in result.stderr
    assert "name a function that returns a number, of a module that the program has imported" in result.stderr
    other = error_detail("collector_refused", 6, message="process 4711: coverage records", remedy="")
    daemon.script.answers["Targets.Attach"] = other
    assert "name a function" not in run("attach", "4711", "--profile", "--timer", "a:b").stderr


def test_diff_asks_for_its_bias(run: Run, daemon: FakeDaemon) -> None:
    assert run("diff", "p1", "p2", "--bias", "0").exit_code == 0
    assert json.loads(daemon.script.request("Reports.Render").settings_json) == {"bias": 0.0}
