"""`execctl ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.records import candidate_record
from execctl.tables import CANDIDATE_HEAD, candidate_row

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("ps")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(connection: Connection, *, as_json: bool) -> None:
    """List the CPython processes that this user can see.

    REASON says why a process cannot be attached to; it is empty where nothing is known to forbid it.
    """
    with connection.open() as client:
        candidates = client.list_targets()
    if as_json:
        output.write_json({"targets": [candidate_record(candidate) for candidate in candidates]})
        return
    output.write_table(CANDIDATE_HEAD, map(candidate_row, candidates), prose=1)
    if any(not candidate.reason for candidate in candidates):
        output.suggest("execctl attach PID --profile")
