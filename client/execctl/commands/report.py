"""`execctl report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl.comparison import CompareCommand, compare_option
from execctl.delivery import deliver
from execctl.query import ReportQuery, View

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("report", cls=CompareCommand)
@click.argument("subject", default="", metavar="[SUBJECT]")
@click.option("--sort", multiple=True, metavar="KEY[,KEY]", help="pstats' sort keys, the first one decides.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--limit",
    multiple=True,
    metavar="N|FRACTION|REGEX",
    help="Fewer lines: a number, a fraction from 0.0 to 1.0, a regular expression; several apply in order.",
)
@click.option("--callers", is_flag=True, help="Who called each function.")
@click.option("--callees", is_flag=True, help="Whom each function called.")
@click.option("--strip-dirs", is_flag=True, help="File names without directories; what becomes equal is merged.")
@click.option("--thread", default="", metavar="NAME|ID", help="Only this thread.")
@click.option("--per-thread", is_flag=True, help="A table for each thread.")
@compare_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-o", "--output", "file", metavar="FILE", help="Write to this file.")
@click.pass_obj
def command(
    connection: Connection,
    *,
    subject: str,
    sort: tuple[str, ...],
    reverse: bool,
    limit: tuple[str, ...],
    callers: bool,
    callees: bool,
    strip_dirs: bool,
    thread: str,
    per_thread: bool,
    compare: str,
    as_json: bool,
    file: str | None,
) -> None:
    """Show a profile.

    SUBJECT is a profile (p34), a session (s12: its newest profile, a fresh one while it goes on), a PID or a
    name; nothing means the newest profile. A name that starts with a dash goes after `--`.
    """
    if callers and callees:
        raise click.UsageError("--callers and --callees are two reports: ask for one")
    query = ReportQuery(
        subject=subject,
        form="json" if as_json else "text",
        sort=tuple(key for keys in sort for key in keys.split(",") if key),
        reverse=reverse,
        limit=limit,
        view=View.CALLERS if callers else View.CALLEES if callees else View.FUNCTIONS,
        strip_dirs=strip_dirs,
        thread=thread,
        per_thread=per_thread,
        compare=compare,
    )
    with connection.open() as client:
        rendering = client.render(query)
    deliver(rendering, query.form, file)
