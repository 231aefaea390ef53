"""`execctl ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.records import process_record
from execctl.tables import PROCESS_HEAD, process_row

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
        processes = client.processes()
    if as_json:
        output.write_json({"targets": [process_record(process) for process in processes]})
        return
    output.write_table(PROCESS_HEAD, map(process_row, processes), prose=1)
    if any(not process.reason for process in processes):
        output.suggest("execctl attach PID --profile")
