"""The first line of a program that waits for us there: what was asked for is armed before it, or as it comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.errors import TargetGone
from execd.model.collector import MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.session import SessionSpec
    from execd.sessions.armed import Armed
    from execd.sessions.live import LiveTarget

# From the agent's hello to the program's first line: the rest of site, and with -m what its packages import.
_ARRIVAL_S = 600.0
_LATE = "recorded from an instant after the first line on: the program, or a .pth file, set a profile function"
_WAITED = "recorded from some time after the first line on: execd took longer than the 10 s that a program waits for it"


def armed_at_the_first_line(live: LiveTarget, specs: Sequence[SessionSpec]) -> list[Armed]:
    """Switch on what was asked for, at once or at the program's first line, and let it go on."""
    armed = [live.arm(spec) for spec in specs if is_early(spec)]
    at_the_line: list[Armed] = []
    later = [spec for spec in specs if not is_early(spec)]
    if later:
        facts = live.request("arrive", timeout_s=_ARRIVAL_S).facts
        if facts.get("arrived") is not True:
            raise TargetGone("the program ended before its first line", pid=live.target.key.pid)
        at_the_line = [live.arm(spec) for spec in later]
        if facts.get("late") is True:
            _warn(at_the_line, _LATE)
    missed = live.request("open").facts.get("missed")
    if isinstance(missed, list) and missed:
        _warn([*armed, *at_the_line] if "early" in missed else at_the_line, _WAITED)
    for one in at_the_line:
        one.from_first_line = not {_LATE, _WAITED} & set(one.caveats)
    return [*armed, *at_the_line]


def _warn(armed: Sequence[Armed], caveat: str) -> None:
    for one in armed:
        one.caveats += (caveat,)


def is_early(spec: SessionSpec) -> bool:
    """Tell what is to hear of more than the program's own code: all memory that it holds counts."""
    return spec.collector == MEMORY.name
