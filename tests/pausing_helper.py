"""A helper process that makes a link and goes on once a child of the target has stopped itself.

Started as the attach helper is, with its socket as standard input.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from execd.attach import helper, link
from execd.attach.interpreter import Finder
from execd.attach.ptrace import Ptrace
from execd.attach.text import read_agent
from footprint import becomes, state_letters

STOPS_S = 10.0


class Pausing(link.Opening):
    """The making of a link, and a pause."""

    def attempt(self) -> link.Link:
        """Makes it."""
        made = super().attempt()
        becomes(self._has_stopped_child, STOPS_S)
        return made

    def _has_stopped_child(self) -> bool:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return any("T" in state_letters(int(child)) for child in children)


if __name__ == "__main__":
    link.Opening = Pausing  # type: ignore[misc] - what an attach makes its link with
    helper.serve(socket.socket(fileno=os.dup(sys.stdin.fileno())), helper.Kit(Finder(), read_agent(), Ptrace()))
