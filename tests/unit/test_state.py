"""What may become of a session: every state against every event."""

from __future__ import annotations

import itertools

import pytest
from execd.errors import ExecdError
from execd.model.session import ENDED, State
from execd.sessions.state import TRANSITIONS, Event, after

# As DESIGN has it: a session starts, runs, is stopped, and may fail or lose its target on the way.
LEADS_TO = {
    (State.STARTING, Event.ARMED): State.RUNNING,
    (State.STARTING, Event.REFUSED): State.FAILED,
    (State.STARTING, Event.BROKEN): State.FAILED,
    (State.STARTING, Event.TARGET_ENDED): State.TARGET_GONE,
    (State.RUNNING, Event.STOP_ASKED): State.STOPPING,
    (State.RUNNING, Event.BROKEN): State.FAILED,
    (State.RUNNING, Event.TARGET_ENDED): State.TARGET_GONE,
    (State.STOPPING, Event.STORED): State.STOPPED,
    (State.STOPPING, Event.BROKEN): State.FAILED,
    (State.STOPPING, Event.TARGET_ENDED): State.TARGET_GONE,
}
PAIRS = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{state.name}-{event.name}" for state, event in PAIRS])
def test_an_event_leads_where_it_should_or_is_a_mistake(state: State, event: Event) -> None:
    if (state, event) in LEADS_TO:
        assert after(state, event) is LEADS_TO[state, event]
        return
    with pytest.raises(ExecdError, match=f"{state.value} met {event.name}"):
        after(state, event)


@pytest.mark.parametrize("state", State)
def test_nothing_leads_out_of_an_end_and_something_out_of_all_else(state: State) -> None:
    assert bool(TRANSITIONS[state]) is (state not in ENDED)


@pytest.mark.parametrize("state", [state for state in State if state not in ENDED])
def test_wherever_a_session_stands_it_can_lose_its_target_and_break(state: State) -> None:
    assert after(state, Event.TARGET_ENDED) is State.TARGET_GONE
    assert after(state, Event.BROKEN) is State.FAILED
