"""`execctl doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.exits import ExitCode
from execctl.records import check_record, process_record
from execctl.tables import CHECK_HEAD, check_row

if TYPE_CHECKING:
    from execctl.api.process import Process
    from execctl.connection import Connection


@click.command("doctor")
@click.argument("target", metavar="PID|NAME")
@click.option("--allow-seccomp", is_flag=True, help="As attach would with it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, *, target: str, allow_seccomp: bool, as_json: bool) -> None:
    """Say whether a process can be attached to, check by check, without attaching.

    Exits 0 where an attach would be tried, else with the code that the attach would give.
    """
    connection: Connection = ctx.obj
    with connection.open() as client:
        process = client.doctor(target, allow_seccomp=allow_seccomp)
    if as_json:
        record = process_record(process)
        record |= {
            "place": process.place,
            "exit_code": process.exit_code,
            "checks": [check_record(check) for check in process.checks],
        }
        output.write_json(record)
    else:
        _show(process)
    ctx.exit(process.exit_code)


def _show(process: Process) -> None:
    if process.place:
        output.note(f"process {process.pid}: its main thread is {process.place}")
    output.write_table(CHECK_HEAD, map(check_row, process.checks), prose=2)
    if process.exit_code == ExitCode.DONE:
        output.suggest(f"execctl attach {process.pid} --profile")
    else:
        output.note("an attach would be refused")
