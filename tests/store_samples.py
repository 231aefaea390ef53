"""Small targets and profiles for the tests of the store."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from execd.model.profile import ROOT, Column, Function, Header, Label, Location, Profile
from execd.model.session import SessionSpec
from execd.model.target import Target, TargetKey

if TYPE_CHECKING:
    from execd.model.session import Session
    from execd.store.store import Store

PID = 4711
STARTED_AT = 1_700_000_000.25


def a_target(*, command_line: tuple[str, ...] = ("python3", "service.py")) -> Target:
    """Returns a target, always the same process."""
    return Target(
        key=TargetKey(boot_id="5b1c0a52-0000-4000-8000-000000000000", pid=PID, start_ticks=123_456),
        uid=1000,
        command_line=command_line,
        executable="/usr/bin/python3.11",
        python_version="3.11.7",
    )


def a_profile(*, nodes: int = 3, ended_at: float = STARTED_AT + 10.0, name: str = "work") -> Profile:
    """Returns a profile of one function that calls itself `nodes` deep.

    Args:
        nodes: of its tree; their figures compress badly, so that the bytes grow with them.
        ended_at: seconds since the epoch.
        name: of the function.
    """
    figures = array("q", ((node * 2_654_435_761) % 2**40 for node in range(nodes)))
    return Profile(
        header=Header("calls", "python", "s1", PID, ("python3",), "3.11.7", STARTED_AT, ended_at),
        functions=(Function(name, name, "service.py", 1),),
        locations=(Location(0, 0),),
        labels=(Label(1, "MainThread", PID),),
        parents=array("i", range(ROOT, nodes + ROOT)),
        node_locations=array("i", bytes(4 * nodes)),
        node_labels=array("i", bytes(4 * nodes)),
        columns=(Column("calls", "count", figures),),
    )


def add_session(store: Store, *, name: str = "", target: Target | None = None) -> Session:
    """Returns a new session of its own group."""
    spec = SessionSpec("calls", {"builtins": True})
    return store.add_session(target or a_target(), spec, name=name, group=store.new_group(), started_at=STARTED_AT)
