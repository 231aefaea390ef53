"""`execctl export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.delivery import deliver
from execctl.errors import ClientError
from execctl.exits import ExitCode
from execctl.query import ReportQuery

if TYPE_CHECKING:
    from execctl.connection import Connection

# The formats, and whether a terminal can show them.
FORMATS = {"pstats": False, "pprof": False, "collapsed": True}


@click.command("export")
@click.argument("subject", default="", metavar="[SUBJECT]")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option("-o", "--output", "file", metavar="FILE", help="Write to this file.")
@click.pass_obj
def command(connection: Connection, *, subject: str, form: str, file: str | None) -> None:
    """Write a profile in another tool's format.

    pstats loads in Python's pstats and in snakeviz, pprof in `go tool pprof`, collapsed in flamegraph.pl and
    speedscope. SUBJECT is as in `execctl report`.
    """
    if file is None and not FORMATS[form] and output.stdout_is_terminal():
        raise ClientError(
            f"{form} is binary, and standard output is a terminal",
            kind="usage",
            exit_code=ExitCode.USAGE,
            remedy=f"name a file: `execctl export --format {form} -o FILE`, or pipe it on",
        )
    with connection.open() as client:
        rendering = client.render(ReportQuery(subject, form))
    deliver(rendering, form, file)
