"""What execctl loads, where it looks for the daemon, and how it starts one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from execctl import __version__
from execctl.cli import COMMANDS, cli
from execctl.durations import format_duration, parse_duration_ms, parse_kept_s
from execctl.paths import socket_path
from execd import __version__ as daemon_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.conftest import Start

FAKE_DAEMON = Path(__file__).parent / "fake_daemon.py"

# Stands for `execd start`: leaves a server behind and returns when it serves.
FAKE_EXECD = """
import json, subprocess, sys
socket = sys.argv[sys.argv.index("--socket") + 1]
server = subprocess.Popen(
    [sys.executable, {fake!r}, socket],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
)
assert server.stdout.readline() == b"serving\\n"
with open({told!r}, "w") as told:
    json.dump({{"pid": server.pid, "arguments": sys.argv[1:]}}, told)
"""


def modules_after(code: str, environment: dict[str, str]) -> set[str]:
    program = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    finished = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return set(finished.stderr.split())


def run_silently(*arguments: str) -> str:
    return f"""
from execctl.cli import cli
sys.argv = ["execctl", *{list(arguments)!r}]
try:
    cli.main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_neither_grpc_nor_protobuf(arguments: list[str], process_environment: dict[str, str]) -> None:
    loaded = modules_after(run_silently(*arguments), process_environment)
    assert "execctl.cli" in loaded
    assert not {"grpc", "google.protobuf", "execd_api.v1"} & loaded


def test_help_loads_no_command(process_environment: dict[str, str]) -> None:
    loaded = modules_after(run_silently("--help"), process_environment)
    assert not [name for name in loaded if name.startswith("execctl.commands")]


def test_completion_of_commands_loads_no_grpc(process_environment: dict[str, str]) -> None:
    environment = process_environment | {
        "_EXECCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "execctl sn",
        "COMP_CWORD": "1",
    }
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "execctl"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == "plain,snapshot\n"
    assert "grpc" not in finished.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_EXECCTL_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_starts_with_what_the_list_says(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.stdout.splitlines()[2].strip() == COMMANDS[name]


def test_execctl_alone_shows_its_help_as_a_usage_error() -> None:
    result = CliRunner().invoke(cli, [])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


def test_client_and_daemon_have_one_version() -> None:
    assert __version__ == daemon_version
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"execctl, version {__version__}\n"


def test_the_socket_lies_in_the_runtime_directory() -> None:
    found = socket_path(None, {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/home/u"})
    assert found == Path("/run/user/7/execd/execd.sock")


@pytest.mark.parametrize("environment", [{}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "relative"}])
def test_without_a_runtime_directory_the_socket_lies_in_the_home(environment: dict[str, str]) -> None:
    found = socket_path(None, environment | {"HOME": "/home/u"})
    assert found == Path("/home/u/.local/state/execd/run/execd.sock")


def test_a_relative_socket_path_is_made_absolute() -> None:
    assert socket_path("d.sock", {}) == Path.cwd() / "d.sock"


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1500),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("2d", 172_800_000),
        ("49d", 4_233_600_000),
    ],
)
def test_a_duration_has_its_unit(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize("text", ["0s", "0.1ms", "50d", "49.1d"])
def test_the_bounds_of_a_duration_are_told_as_they_are(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not between 1ms and 49d"):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["0s", "2d", "25h"])
def test_how_far_back_a_recording_reaches_is_bounded_by_a_day(text: str) -> None:
    assert parse_kept_s("1d") == 86_400
    with pytest.raises(ValueError, match=f"'{text}' is not between 1ms and 1d"):
        parse_kept_s(text)


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(7, "7 ms"), (12_340, "12.3 s"), (61_000, "1 min 1 s"), (7_200_000, "120 min 0 s")],
)
def test_a_duration_is_shown_for_people(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@pytest.fixture
def fake_execd(tmp_path: Path, process_environment: dict[str, str]) -> Iterator[Path]:
    """A package `execd` that `python -m execd start` finds first; what it was told is in the file."""
    told = tmp_path / "told.json"
    package = tmp_path / "fakes" / "execd"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(FAKE_EXECD.format(fake=str(FAKE_DAEMON), told=str(told)))
    process_environment["PYTHONPATH"] = f"{package.parent}:{process_environment['PYTHONPATH']}"
    yield told
    if told.exists():
        os.kill(json.loads(told.read_text())["pid"], signal.SIGTERM)


def test_a_daemon_is_started_where_none_runs_and_stays(start: Start, fake_execd: Path, tmp_path: Path) -> None:
    socket = tmp_path / "d.sock"
    options = ["--socket", str(socket), "--data-dir", str(tmp_path / "data")]
    stdout, stderr = start(*options, "ps").communicate(timeout=30)
    assert "4711" in stdout
    assert f"no daemon runs: starting execd on {socket}" in stderr
    assert json.loads(fake_execd.read_text())["arguments"] == ["start", *options]
    _, again = start(*options, "ps").communicate(timeout=30)
    assert "starting" not in again


def test_what_a_start_says_of_a_damaged_store_is_passed_on(start: Start, fake_execd: Path, tmp_path: Path) -> None:
    program = tmp_path / "fakes" / "execd" / "__main__.py"
    say = "import sys; print('execd runs: PID 1'); print('execd: the store was not whole', file=sys.stderr)\n"
    program.write_text(say + program.read_text())
    _, stderr = start("--socket", str(tmp_path / "d.sock"), "ps").communicate(timeout=30)
    assert "\nthe store was not whole\n" in stderr
    assert "execd runs" not in stderr
    assert fake_execd.exists()


def test_a_folder_named_execd_where_the_user_stands_is_not_run(
    start: Start, fake_execd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = tmp_path / "here" / "execd"
    strange.mkdir(parents=True)
    (strange / "__main__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(strange.parent)
    stdout, stderr = start("--socket", str(tmp_path / "d.sock"), "ps").communicate(timeout=30)
    assert "4711" in stdout
    assert "the wrong one" not in stderr
    assert fake_execd.exists()


def test_a_daemon_that_does_not_start_is_quoted(start: Start, fake_execd: Path, tmp_path: Path) -> None:
    program = tmp_path / "fakes" / "execd" / "__main__.py"
    program.write_text("import sys; sys.exit('execd: the disk \\x1b[31mburns\\nput it out')")
    process = start("--socket", str(tmp_path / "d.sock"), "ps")
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "execd ended with status 1: the disk \\x1b[31mburns" in stderr
    assert "put it out" in stderr
    assert not fake_execd.exists()
