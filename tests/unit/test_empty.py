"""What is told of sessions that recorded nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, tree
from execd.model.session import SessionSpec, State
from execd.sessions.empty import told_if_empty
from fake_daemons import CALLS

if TYPE_CHECKING:
    from fake_daemons import Daemon

KINDS = "(a pattern with a slash, or one that ends in .py, is a path, any other a module)"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"include": ["shpo.*", "a/b.py"]}, "no code that ran fits --include shpo.*, a/b.py"),
        ({"include": ["shpo.*"], "exclude": ["x"]}, "no code that ran fits --include shpo.*"),
        ({"exclude": ["*"]}, "all code that ran fits --exclude *"),
    ],
)
def test_patterns_that_left_nothing_to_record_are_named(options: dict[str, Any], told: str) -> None:
    assert told_if_empty(tree([], options=options)) == (
        f"nothing was recorded: {told} {KINDS}; execctl dump 4711 shows the files of what runs"
    )
    assert told_if_empty(tree([Node(-1, "work")], options=options)) == ""


@pytest.mark.parametrize("options", [{}, {"include": []}, {"include": "shop"}])
def test_without_patterns_a_recording_of_no_calls_needs_no_reason(options: dict[str, Any]) -> None:
    assert told_if_empty(tree([], options=options)) == ""


def test_samples_of_nothing_are_told() -> None:
    told = told_if_empty(tree([], collector="samples", started_at=1.0, ended_at=1.25))
    assert told == "none of its code was met in 250 ms"


def test_where_a_pattern_fits_there_is_no_reason(daemon: Daemon) -> None:
    pid = daemon.target()
    spec = SessionSpec("calls", {**CALLS.options, "include": ["work"]})
    session = daemon.attach(pid, (spec,)).sessions[0].id
    (stopped,) = daemon.registry.stop(session)
    assert (stopped.state, stopped.reason) == (State.STOPPED, "")
