"""`execctl diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from execctl.delivery import deliver
from execctl.query import ReportQuery
from execctl.settings import (
    BIAS,
    FILTERS,
    OF_MEMORY,
    VIEW,
    asked_layout,
    asked_settings,
    asked_table,
    asked_times,
    layout_options,
    output_options,
    settings_options,
    table_options,
    time_options,
)
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection

_SETTINGS = (BIAS, VIEW, *OF_MEMORY, *FILTERS)


@click.command("diff")
@click.argument("earlier", metavar="A", callback=named)
@click.argument("later", metavar="B", callback=named)
@table_options
@settings_options(_SETTINGS)
@time_options
@layout_options
@output_options
@click.pass_obj
def command(
    connection: Connection,
    /,
    *,
    earlier: str,
    later: str,
    as_json: bool,
    file: str | None,
    **given: Any,
) -> None:
    """Compare two profiles: what B has over A.

    A and B are profiles (p34), their names, sessions or PIDs (the newest profile of each), of one collector. Those of
    one session compare as what happened between them, samples by the share that each function has.
    """
    if earlier == later:
        raise click.UsageError(f"A and B are both {earlier}: name two")
    form = "json" if as_json else "text"
    layout = asked_layout(given, file)
    query = ReportQuery(
        subject=later,
        form=form,
        compare=earlier,
        settings=asked_settings(_SETTINGS, given) | asked_times(given),
        layout=layout,
        **asked_table(given),
    )
    with connection.open() as client:
        rendering = client.render(query)
    deliver(rendering, form, file, has_color=layout.has_color)
