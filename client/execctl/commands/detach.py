"""`execctl detach`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.ended import tell_ended
from execctl.exits import code_of_ends
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("detach")
@click.argument("target", default="", metavar="[PID|NAME]", callback=named)
@click.pass_context
def command(ctx: click.Context, *, target: str) -> None:
    """End all sessions on a process and leave it.

    Nothing means the only process that is attached to. Detaching from one without an agent is no error; a
    session that failed gives exit code 8, one whose process is gone 4.
    """
    connection: Connection = ctx.obj
    with connection.open() as client:
        left = client.detach(target)
    if not left.was_attached:
        output.note(f"process {left.target.pid} was not attached to")
        return
    output.note(f"detached from process {left.target.pid}")
    for sentence in left.residue:
        output.note(f"left in it: {sentence}")
    if not left.sessions:
        output.note("no session went on; execctl sessions --all lists those that ended before")
    tell_ended(left.sessions)
    ctx.exit(code_of_ends(one.state for one in left.sessions))
