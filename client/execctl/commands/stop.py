"""`execctl stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.ended import tell_ended
from execctl.exits import code_of_ends
from execctl.modes import SAMPLE
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("stop")
@click.argument("session", default="", metavar="[SESSION|PID|NAME]", callback=named)
@click.pass_context
def command(ctx: click.Context, *, session: str) -> None:
    """End sessions and store their last profile.

    A PID or the name of a process means every session on it, nothing the only session that goes on. The agent
    stays in the process, so that the next attach is quick; `execctl detach` takes it out. A session that was
    stopped before is no error; one that failed, or whose process is gone, gives exit code 8 or 4.
    """
    connection: Connection = ctx.obj
    with connection.open() as client:
        stopped = client.stop(session)
    shown = tell_ended(stopped)
    # Nothing of ours is in a process that was sampled.
    for pid in sorted({one.pid for one in shown if one.state == "stopped" and one.collector != SAMPLE.collector}):
        output.suggest(f"execctl detach {pid}")
    ctx.exit(code_of_ends(one.state for one in stopped))
