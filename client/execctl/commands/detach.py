"""`execctl detach`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.tables import ENDED_HEAD, ended_row

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("detach")
@click.argument("target", default="", metavar="[PID]")
@click.pass_obj
def command(connection: Connection, *, target: str) -> None:
    """End all sessions on a process and leave it.

    Nothing means the only process that is attached to. Detaching from one without an agent is no error.
    """
    with connection.open() as client:
        left = client.detach(target)
    if not left.was_attached:
        output.note(f"process {left.target.pid} was not attached to")
        return
    if left.sessions:
        output.write_table(ENDED_HEAD, map(ended_row, left.sessions))
    output.note(f"detached from process {left.target.pid}")
    for sentence in left.residue:
        output.note(f"left in it: {sentence}")
    for session in left.sessions:
        if session.latest_profile:
            output.suggest(f"execctl report {session.latest_profile}")
