"""What execctl ends with; docs/commands.md shows the same table."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExitCode(IntEnum):
    """The exit codes. The daemon sends most of them with its errors, so that both sides agree on them."""

    DONE = 0
    # Kept for commands that judge a profile: 1 must not mean anything else.
    THRESHOLD_FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    TARGET_GONE = 4
    NOT_PERMITTED = 5
    NOT_SUPPORTED = 6
    ATTACH_TIMEOUT = 7
    PARTIAL_DATA = 8
    NOT_FOUND = 9
    INTERNAL = 10
    INTERRUPTED = 130


def code_of_ends(states: Iterable[str]) -> ExitCode:
    """Return what a command ends with that ended sessions, or found them ended.

    Args:
        states: theirs, "target_gone".
    """
    found = set(states)
    if "target_gone" in found:
        return ExitCode.TARGET_GONE
    return ExitCode.DONE if found <= {"stopped"} else ExitCode.PARTIAL_DATA
