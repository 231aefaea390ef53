"""`execctl top` where there is no terminal, and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("top", "4711", "--rate", "0"), "'0' is no rate: write how often a second"),
        (("record", "4711", "--keep", "25h"), "'25h' is not between 1ms and 1d"),
        (("attach", "4711", "--sample", "--keep", "25h"), "'25h' is not between 1ms and 1d"),
    ],
)
def test_values_are_refused_by_the_names_of_their_options(
    run: Run, daemon: FakeDaemon, words: tuple[str, ...], told: str
) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert f"Invalid value for '{words[-2]}'" in result.stderr
    assert daemon.script.calls() == []


def test_the_help_names_the_keys_help(run: Run) -> None:
    assert "The key ? lists the keys" in " ".join(run("top", "--help").stdout.split())
