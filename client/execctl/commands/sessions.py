"""`execctl sessions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.labels import label_option
from execctl.records import session_record
from execctl.tables import SESSION_HEAD, session_row

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("sessions")
@click.option("--all", "with_ended", is_flag=True, help="Also those that ended.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@label_option("Only those that have this label; several: all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(connection: Connection, *, with_ended: bool, limit: int, labels: dict[str, str], as_json: bool) -> None:
    """List the sessions that go on.

    Newest first.
    """
    with connection.open() as client:
        sessions = client.list_sessions(running_only=not with_ended, limit=limit, labels=labels)
    if as_json:
        output.write_json({"sessions": [session_record(session) for session in sessions]})
    else:
        output.write_table(SESSION_HEAD, map(session_row, sessions), prose=1)
    if len(sessions) == limit:
        output.note(f"these are the newest {limit}; --limit shows more")
    elif not sessions and not with_ended:
        output.note("no session goes on; --all lists those that ended")
