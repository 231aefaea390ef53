"""`execctl growth`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from execctl.delivery import deliver
from execctl.query import GrowthQuery
from execctl.settings import (
    BY_TYPE_TOO,
    CUMULATIVE,
    OF_BLOCKS,
    asked_layout,
    asked_settings,
    layout_options,
    output_options,
    settings_options,
)
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection

_SETTINGS = (BY_TYPE_TOO, CUMULATIVE, *OF_BLOCKS)


@click.command("growth")
@click.argument("subject", default="", metavar="[PID|SESSION|NAME]", callback=named)
@click.option(
    "--last",
    type=click.IntRange(2, 1000),
    default=3,
    show_default=True,
    metavar="N",
    help="How many snapshots, the latest ones.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Show so many at most."
)
@settings_options(_SETTINGS)
@layout_options
@output_options
@click.pass_obj
def command(
    connection: Connection,
    /,
    *,
    subject: str,
    last: int,
    limit: int,
    as_json: bool,
    file: str | None,
    **given: Any,
) -> None:
    """List what grew in every one of the latest snapshots.

    Of a memory session lines, files or tracebacks with more bytes in each snapshot than in the one before, of the
    censuses of a process types. Nothing means the newest snapshot of either, and those before it.
    """
    form = "json" if as_json else "text"
    layout = asked_layout(given, file)
    query = GrowthQuery(subject, form, last, limit, asked_settings(_SETTINGS, given), layout)
    with connection.open() as client:
        rendering = client.render_growth(query)
    deliver(rendering, form, file, has_color=layout.has_color)
