"""What may become of a session: a table, and nothing else."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from execd.errors import ExecdError
from execd.model.session import State

if TYPE_CHECKING:
    from collections.abc import Mapping


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
