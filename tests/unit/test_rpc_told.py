"""What a report says beside its figures: the command that comes next, what came after it, what was switched off."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, tree
from execd.model.overhead import SWITCHED_OFF, SwitchedOff
from execd.model.session import State
from execd.rpc.reports import ReportsServicer
from execd_api.v1 import reports_pb2
from store_samples import STARTED_AT, add_session

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from execd.model.stored import Reason
    from fake_daemons import Daemon


def ended(daemon: Daemon, state: State, *reasons: Reason, after_s: float = 0.0, **fields: Any) -> str:
    """A session with a profile of each of these reasons, of 10 s each time, that has ended so long after; its id."""
    session = add_session(daemon.store)
    for reason in reasons:
        profile = tree([Node(-1, "work", 3)], session=session.id, started_at=STARTED_AT, **fields)
        profile = replace(profile, header=replace(profile.header, ended_at=STARTED_AT + 10.0))
        daemon.store.add_profile(profile, session=session.id, reason=reason)
    ended_at = 0.0 if state is State.RUNNING else STARTED_AT + 10.0 + after_s
    daemon.store.save_session(replace(session, state=state, ended_at=ended_at))
    return session.id


def rendered(daemon: Daemon, subject: str, form: str) -> tuple[str, list[str]]:
    """A report, and the notes beside it."""
    context: Any = None
    request = reports_pb2.RenderRequest(subject=subject, format=form)
    pieces = list(ReportsServicer(daemon.registry, daemon.store).Render(request, context))
    data = b"".join(piece.data for piece in pieces)
    return data.decode("utf-8", "replace"), [note for piece in pieces for note in piece.notes]


@pytest.mark.parametrize(("reason", "lasts"), [("checkpoint", "s1"), ("snapshot", "p1"), ("final", "p1")])
def test_the_command_that_comes_next_names_what_lasts(daemon: Daemon, reason: Reason, lasts: str) -> None:
    session = ended(daemon, State.RUNNING, reason)
    text, _ = rendered(daemon, session, "text")
    assert "profile p1 of session s1" in text
    assert text.splitlines()[-1] == f"next: execctl report {lasts} --callers --limit work"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State.INTERRUPTED, "the last snapshot of a session that was interrupted: what came after"),
        (State.TARGET_GONE, "(target gone): its last 2.5 s are missing"),
        (State.FAILED, "(failed): its last 2.5 s are missing"),
    ],
)
def test_the_last_snapshot_of_a_session_that_broke_off_says_what_is_missing(
    daemon: Daemon, state: State, told: str
) -> None:
    session = ended(daemon, state, "snapshot", "snapshot", after_s=2.5)
    latest, notes = rendered(daemon, session, "text")[0], rendered(daemon, session, "collapsed")[1]
    assert told in " ".join(latest.split())
    assert told in notes[0]
    # What came after an earlier one is in a later one.
    assert told not in " ".join(rendered(daemon, "p1", "text")[0].split())


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED])
def test_a_snapshot_of_a_session_that_did_not_break_off_lacks_nothing(daemon: Daemon, state: State) -> None:
    session = ended(daemon, state, "snapshot", after_s=2.5)
    assert "missing" not in rendered(daemon, session, "text")[0]


def off(number: int) -> dict[str, Any]:
    return asdict(SwitchedOff(f"short{number}", "/srv/app.py", number, 1000, 90, 0.5, 0.2))


@pytest.mark.parametrize("form", ["collapsed", "pprof", "pstats", "pstats-text"])
def test_an_export_says_beside_it_what_was_switched_off(daemon: Daemon, form: str) -> None:
    session = ended(daemon, State.STOPPED, "final", extra={SWITCHED_OFF: [off(number) for number in range(5)]})
    _, notes = rendered(daemon, session, form)
    assert notes == [
        "5 functions were switched off to keep the overhead below 20%, and not recorded from then on: "
        "short0 (/srv/app.py:0), short1 (/srv/app.py:1), short2 (/srv/app.py:2) and 2 more"
    ]


def test_a_report_says_what_was_switched_off_itself(daemon: Daemon) -> None:
    session = ended(daemon, State.STOPPED, "final", extra={SWITCHED_OFF: [off(1)]})
    text, notes = rendered(daemon, session, "text")
    assert "Switched off" in text
    assert notes == []
    told = rendered(daemon, session, "pprof")[1]
    assert told[0].startswith("1 function was switched off")


def test_where_nothing_was_switched_off_nothing_is_said(daemon: Daemon) -> None:
    profile: Profile = tree([Node(-1, "work", 3)])
    assert not profile.header.extra
    session = ended(daemon, State.STOPPED, "final")
    assert rendered(daemon, session, "pprof")[1] == []
