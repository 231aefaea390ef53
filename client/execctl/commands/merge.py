"""`execctl merge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.records import profile_record
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection

_FEWEST = 2


@click.command("merge")
@click.argument("subjects", nargs=-1, required=True, metavar="A B...", callback=named)
@click.option("--name", default="", help="What to call the sum.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(connection: Connection, *, subjects: tuple[str, ...], name: str, as_json: bool) -> None:
    """Store the sum of several profiles as one.

    A, B and the others are profiles (p34), sessions, PIDs (the newest profile of each) or names, of one collector.
    They stay what they are; `execctl report A B` shows a sum without storing it.
    """
    if len(subjects) < _FEWEST:
        raise click.UsageError("a sum is of two profiles or more: name them")
    with connection.open() as client:
        merged = client.merge(*subjects, name=name)
    if as_json:
        output.write_json({"profiles": [profile_record(merged.profile)]})
    else:
        output.write_lines([merged.profile.id])
    parts = ", ".join(part.id for part in merged.parts)
    output.note(f"{merged.profile.id}: {merged.profile.collector}, the sum of {parts}, {merged.profile.nodes} nodes")
    output.suggest(f"execctl report {merged.profile.id}")
