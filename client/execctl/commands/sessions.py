"""`execctl sessions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.descendants import Trees, newest, trees, unfolded_option
from execctl.labels import label_option
from execctl.records import open_group_record, session_record
from execctl.tables import SESSION_HEAD, open_group_row, session_row

if TYPE_CHECKING:
    from execctl.api.session import Session
    from execctl.connection import Connection


@click.command("sessions")
@click.option("--all", "with_ended", is_flag=True, help="Also those that ended.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@label_option("Only those that have this label; several: all of them.")
@unfolded_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, of process trees each process.")
@click.pass_obj
def command(
    connection: Connection,
    *,
    with_ended: bool,
    limit: int,
    labels: dict[str, str],
    is_unfolded: bool,
    as_json: bool,
) -> None:
    """List the sessions that go on.

    Newest first. `s1 (+8)` stands for a process and eight descendants, which --children recorded; `g3` for what
    `record --all` waits for.
    """

    def ask(most: int) -> list[Session]:
        return client.sessions(with_ended=with_ended, labels=labels, limit=most)

    with connection.open() as client:
        sessions = ask(limit)
        known = Trees(() if is_unfolded or as_json else sessions)
        if len(sessions) == limit and not (is_unfolded or as_json):
            # Roots are older than what is below them.
            known = trees(client, with_ended=with_ended)
        groups = client.open_groups(labels)
        sessions = newest(ask, lambda rows: [row for row in rows if not known.has(row.id)], limit, sessions)
    if as_json:
        records = {"sessions": list(map(session_record, sessions)), "open_groups": list(map(open_group_record, groups))}
        output.write_json(records)
    else:
        rows = [session_row(session, known.name(session.id)) for session in sessions]
        output.write_table(SESSION_HEAD, [*map(open_group_row, groups), *rows], prose=1)
    if len(sessions) == limit:
        output.note(f"these are the newest {limit}; --limit shows more")
    elif not sessions and not groups and not with_ended:
        output.note("no session goes on; --all lists those that ended")
