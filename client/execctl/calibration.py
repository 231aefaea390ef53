"""What recording calls costs a program, an event, as it is measured where it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execctl.errors import PartialData
from execctl.query import ReportQuery, SessionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.client import Client
    from execctl.pythonline import Interpreter

# As attach --profile without options has them: a session that goes on is joined.
_SPEC = SessionSpec("calls", {"builtins": True, "subcalls": True})
# It is measured once a second.
_LASTS_S = 1.5
_PROGRAM = f"import time; time.sleep({_LASTS_S})"


@dataclass(frozen=True, slots=True)
class EventCosts:
    """What the recording of calls costs, seconds.

    Attributes:
        python_version: of the interpreter, "3.11.7".
        python_inside_s: of a call of a Python function, what falls into its own time.
        python_outside_s: what falls into its caller's.
        c_inside_s, c_outside_s: the same of a C function.
        uncounted_s: of an event of no counted call, in whose time it is: on 3.12 and newer each call of a Python
            function has one more, and each of a type two.
        dearer: how many times as much the program's own events cost while it was measured; 1 where there were none.
    """

    python_version: str
    python_inside_s: float
    python_outside_s: float
    c_inside_s: float
    c_outside_s: float
    uncounted_s: float
    dearer: float

    @property
    def event_s(self) -> float:
        """One event, as `--bias SECONDS` means it: the mean of a Python function's two."""
        return (self.python_inside_s + self.python_outside_s) / 2


def costs_in_process(client: Client, target: str, on_wait: Callable[[str], object]) -> EventCosts:
    """Measure in a process, which records calls for some seconds.

    Args:
        client: of the daemon.
        target: a PID, or a name that fits one process alone.
        on_wait: as of an attach.

    Raises:
        ClientError: as of an attach; PartialData where nothing was measured.
    """
    with client.attach(target, [_SPEC], on_wait=on_wait, duration_s=_LASTS_S) as recording:
        recording.wait(_LASTS_S)
    return _measured(client, [session.latest_profile for session in recording.sessions])


def costs_in_interpreter(client: Client, interpreter: Interpreter) -> EventCosts:
    """Measure in an interpreter, which is started for some seconds.

    Raises:
        ClientError: as of a run; PartialData where nothing was measured.
    """
    prepared = client.prepare(["-c", _PROGRAM], [_SPEC], python=interpreter)
    try:
        outcome = prepared.start().outcome()
    finally:
        prepared.close()
    if outcome.failure:
        raise PartialData(f"nothing was measured: {outcome.failure}")
    return _measured(client, [session.latest_profile for session in outcome.sessions])


def _measured(client: Client, profiles: list[str]) -> EventCosts:
    """Return what profiles tell, which are removed then: nobody asked for them."""
    found: dict[str, object] = {}
    version = ""
    for profile in filter(None, profiles):
        origin = json.loads(client.render(ReportQuery(profile, "json", limit=("0",))).data)["profile"]
        found, version = origin["extra"], origin["python_version"]
        client.remove(profile)
    names = ("python_inside", "python_outside", "c_inside", "c_outside", "uncounted")
    costs = [_seconds(found.get(f"{name}_ns")) for name in names]
    if not costs[0]:
        raise PartialData("what an event costs could not be measured there", remedy="try again, or look at its caveats")
    costs.append(_dearer(found.get("correction")))
    return EventCosts(version, *costs)


def _dearer(correction: object) -> float:
    match correction:
        case {"taken_ns": int(taken_ns), "in_rows_ns": int(in_rows_ns)} if in_rows_ns > 0:
            return taken_ns / in_rows_ns
    return 1.0


def _seconds(ns: object) -> float:
    return ns / 1e9 if isinstance(ns, int | float) else 0.0
