"""`execctl profiles label`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.labels import format_labels, parsed

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("label")
@click.argument("subject", metavar="PROFILE|SESSION")
@click.argument("labels", nargs=-1, metavar="[KEY=VALUE]...", callback=parsed)
@click.option("--unlabel", "remove", multiple=True, metavar="KEY", help="Take this label off.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def label(
    connection: Connection, *, subject: str, labels: dict[str, str], remove: tuple[str, ...], as_json: bool
) -> None:
    """Change the labels of a session or a profile, and show them.

    A profile has the labels of its session too; its own come before them. A label that is there gets the new value.
    """
    with connection.open() as client:
        changed = client.label(subject, labels, remove=remove)
    if as_json:
        output.write_json({"id": changed.id, "labels": dict(sorted(changed.labels.items()))})
    else:
        output.write_lines([f"{changed.id}  {format_labels(changed.labels)}".rstrip()])
