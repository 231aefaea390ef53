"""`execctl diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from execctl.delivery import deliver
from execctl.query import ReportQuery
from execctl.settings import FILTERS, OF_MEMORY, asked_settings, settings_options

if TYPE_CHECKING:
    from execctl.connection import Connection

_SETTINGS = (*OF_MEMORY, *FILTERS)


@click.command("diff")
@click.argument("earlier", metavar="A")
@click.argument("later", metavar="B")
@click.option("--sort", multiple=True, metavar="KEY[,KEY]", help="Calls: pstats' sort keys, of the change.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--limit", multiple=True, metavar="N|FRACTION|REGEX", help="Fewer lines, as in `execctl report`.")
@click.option("--strip-dirs", is_flag=True, help="File names without directories; what becomes equal is merged.")
@click.option("--thread", default="", metavar="NAME|ID", help="Only this thread.")
@settings_options(_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-o", "--output", "file", metavar="FILE", help="Write to this file.")
@click.pass_obj
def command(
    connection: Connection,
    /,
    *,
    earlier: str,
    later: str,
    sort: tuple[str, ...],
    as_json: bool,
    file: str | None,
    **given: Any,
) -> None:
    """Compare two profiles: what B has over A.

    A and B are profiles (p34), their names, sessions or PIDs (the newest profile of each), of one collector. Those of
    one session compare as what happened between them.
    """
    if earlier == later:
        raise click.UsageError(f"A and B are both {earlier}: name two")
    form = "json" if as_json else "text"
    query = ReportQuery(
        subject=later,
        form=form,
        sort=tuple(key for keys in sort for key in keys.split(",") if key),
        reverse=given["reverse"],
        limit=given["limit"],
        strip_dirs=given["strip_dirs"],
        thread=given["thread"],
        compare=earlier,
        settings=asked_settings(_SETTINGS, given),
    )
    with connection.open() as client:
        rendering = client.render(query)
    deliver(rendering, form, file)
