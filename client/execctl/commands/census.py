"""`execctl census`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.census import take_census
from execctl.quantities import quantity
from execctl.query import ReportQuery
from execctl.recording import ending
from execctl.sizes import parse_size_bytes
from execctl.waiting import waiting_for_census

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("census")
@click.argument("target", metavar="PID|NAME")
@click.option("--referrers", default="", metavar="TYPE", help="Count too what refers to objects of this type.")
@click.option("--limit", multiple=True, metavar="N|FRACTION|REGEX", help="Show only some; in the given order.")
@click.option(
    "--max-memory",
    metavar="SIZE",
    callback=quantity(parse_size_bytes),
    help="Memory that it may take in the process: 32MB; never over a quarter of what its limits leave.",
)
@click.option("--yes", "confirmed", is_flag=True, help="Also where it takes more than half a second of the process.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    connection: Connection,
    *,
    target: str,
    referrers: str,
    limit: tuple[str, ...],
    max_memory: int | None,
    confirmed: bool,
    as_json: bool,
) -> None:
    """Count the live objects of a process by type.

    It counts what was made before the attach as well: what the garbage collector knows, and what that refers to.
    The process runs on, slower; where that would last for more than half a second, --yes is asked for.
    """
    form = "json" if as_json else "text"
    with connection.open() as client:
        profile = take_census(
            client,
            target,
            referrers=referrers,
            confirmed=confirmed,
            max_memory_bytes=max_memory or 0,
            on_wait=waiting_for_census(target),
            on_end=ending,
        )
        layout = output.layout()
        rendering = client.render(ReportQuery(profile, form, limit=limit, layout=layout))
    output.write_bytes(output.printable(rendering.data, form, has_color=layout.has_color))
    output.suggest(f"execctl report {profile}")
