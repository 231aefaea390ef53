"""`execctl doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.exits import ExitCode
from execctl.records import candidate_record, check_record
from execctl.tables import CHECK_HEAD, check_row

if TYPE_CHECKING:
    from execd_api.v1.targets_pb2 import Candidate

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
        candidate = client.examine(target, allow_seccomp=allow_seccomp)
    code = _exit_code(candidate)
    if as_json:
        record = candidate_record(candidate)
        record |= {
            "place": candidate.place,
            "exit_code": code,
            "checks": [check_record(check) for check in candidate.checks],
        }
        output.write_json(record)
    else:
        _show(candidate, code)
    ctx.exit(code)


def _show(candidate: Candidate, code: int) -> None:
    if candidate.place:
        output.note(f"process {candidate.target.pid}: its main thread is {candidate.place}")
    output.write_table(CHECK_HEAD, map(check_row, candidate.checks), prose=2)
    if code == ExitCode.DONE:
        output.suggest(f"execctl attach {candidate.target.pid} --profile")
    else:
        output.note("an attach would be refused")


def _exit_code(candidate: Candidate) -> int:
    return next((check.exit_code for check in candidate.checks if check.exit_code), ExitCode.DONE)
