"""`execctl stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.records import state_name
from execctl.tables import ENDED_HEAD, ended_row

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("stop")
@click.argument("session", default="", metavar="[SESSION|PID]")
@click.pass_obj
def command(connection: Connection, *, session: str) -> None:
    """End sessions and store their last profile.

    A PID means every session on it, nothing the only session that goes on. The agent stays in the process, so
    that the next attach is quick; `execctl detach` takes it out. Stopping a session that ended is no error.
    """
    with connection.open() as client:
        stopped = client.stop(session)
    output.write_table(ENDED_HEAD, map(ended_row, stopped))
    for one in stopped:
        if one.latest_profile:
            output.suggest(f"execctl report {one.latest_profile}")
    for pid in sorted({one.pid for one in stopped if state_name(one) == "stopped"}):
        output.suggest(f"execctl detach {pid}")
