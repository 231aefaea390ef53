"""What stays after a detach, by what the agent says, in the words of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from execd.attach.channel import Reply
from execd.sessions.residue import residue
from fake_agents import FakeAgent

if TYPE_CHECKING:
    from fake_daemons import Daemon

DOCUMENT = Path(__file__).parent.parent.parent / "docs/attaching.md"


class Keeping(FakeAgent):
    """Leaves functions behind, as those of 3.9 to 3.11 do."""

    def answer(self, operation: str, arguments: dict[str, object]) -> Reply:
        """Does what an agent does."""
        reply = super().answer(operation, arguments)
        return Reply({**reply.facts, "kept_functions": 3}, b"") if operation == "detach" else reply


def test_functions_that_stay_are_told_with_their_number_as_the_document_has_it(daemon: Daemon) -> None:
    pid = daemon.target()
    daemon.attacher.agents[pid] = Keeping()
    daemon.attach(pid)
    _, functions, modules = daemon.registry.detach(str(pid)).residue
    words, _, number = functions.removesuffix(")").partition(": ")
    count, _, why = number.partition(" (")
    document = " ".join(DOCUMENT.read_text("utf-8").split())
    assert (words in document, count, why in document) == (True, "3", True)
    assert modules.endswith("_ctypes")


@pytest.mark.parametrize("said", [None, 0, -1, True, "3", 1 << 70])
def test_where_none_stay_and_where_an_agent_lies_nothing_is_told(said: object) -> None:
    assert len(residue({"kept_functions": said})) == 1
