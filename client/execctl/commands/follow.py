"""`execctl follow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl.exits import ExitCode
from execctl.following import Following
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("follow")
@click.argument("session", default="", metavar="[SESSION|PID|NAME]", callback=named)
@click.option("--timing", is_flag=True, help="Show the seconds since the start before each line.")
@click.option("--all", "everything", is_flag=True, help="Show what is kept from before as well.")
@click.pass_context
def command(ctx: click.Context, *, session: str, timing: bool, everything: bool) -> None:
    """Show what a trace records, as it comes.

    Nothing after the command means the only trace that runs. Ctrl-C ends the showing, and the trace goes on. Of a
    trace that has ended what is stored is shown.
    """
    connection: Connection = ctx.obj
    following = Following(session, timing=timing, from_now=not everything)
    with connection.open() as client:
        following.run(client)
    following.tell()
    ctx.exit(ExitCode.INTERRUPTED if following.interrupted else ExitCode.DONE)
