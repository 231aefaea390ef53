"""`execctl top` where there is no terminal, and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon


def test_without_a_terminal_it_says_what_to_do_instead(run: Run, daemon: FakeDaemon) -> None:
    result = run("top", "4711")
    assert result.exit_code == 2
    assert "`top` needs a terminal, and standard input is none" in result.stderr
    assert "execctl attach PID --sample --duration 10s" in result.stderr
    assert daemon.script.calls() == []


def test_options_that_exclude_each_other_are_refused(run: Run, daemon: FakeDaemon) -> None:
    result = run("top", "4711", "--stop", "--never-stop")
    assert result.exit_code == 2
    assert "--stop and --never-stop exclude each other" in result.stderr
    assert daemon.script.calls() == []


def test_the_help_names_the_keys_help(run: Run) -> None:
    assert "The key ? lists the keys" in " ".join(run("top", "--help").stdout.split())
