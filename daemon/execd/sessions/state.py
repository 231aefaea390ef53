"""What may become of a session: a table, and the session as it ends."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from execd.errors import ExecdError, TargetGone
from execd.model.session import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.session import Session


class Event(Enum):
    """What happens to a session."""

    ARMED = auto()
    REFUSED = auto()
    STOP_ASKED = auto()
    STORED = auto()
    TARGET_ENDED = auto()
    BROKEN = auto()


TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.STARTING: {
        Event.ARMED: State.RUNNING,
        Event.REFUSED: State.FAILED,
        Event.BROKEN: State.FAILED,
        Event.TARGET_ENDED: State.TARGET_GONE,
    },
    State.RUNNING: {
        Event.STOP_ASKED: State.STOPPING,
        Event.TARGET_ENDED: State.TARGET_GONE,
        Event.BROKEN: State.FAILED,
    },
    State.STOPPING: {
        Event.STORED: State.STOPPED,
        Event.TARGET_ENDED: State.TARGET_GONE,
        Event.BROKEN: State.FAILED,
    },
    State.STOPPED: {},
    State.FAILED: {},
    State.TARGET_GONE: {},
    State.INTERRUPTED: {},
}


def after(state: State, event: Event) -> State:
    """Return the state that an event leads to. Raises ExecdError where it cannot happen: that is a mistake of ours."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ExecdError(f"a session that is {state.value} met {event.name}") from None


def failed(session: Session, error: ExecdError, now: float, more: str = "") -> Session:
    """Return a session that an error has ended; `more` is what is to be said beside that."""
    event = Event.TARGET_ENDED if isinstance(error, TargetGone) else Event.BROKEN
    reason = f"{error.message}; {more}" if more else error.message
    return replace(session, state=after(session.state, event), ended_at=now, reason=reason)


def stopped(session: Session, now: float, reason: str = "") -> Session:
    """Return a session that has ended as asked, or for a reason with all that it had."""
    stopping = (
        session if session.state is State.STOPPING else replace(session, state=after(session.state, Event.STOP_ASKED))
    )
    return replace(stopping, state=after(stopping.state, Event.STORED), ended_at=now, reason=reason)
