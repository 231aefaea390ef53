"""`execctl profiles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.records import profile_record
from execctl.tables import PROFILE_HEAD, profile_row

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("profiles")
@click.argument("session", default="", metavar="[SESSION]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(connection: Connection, *, session: str, limit: int, as_json: bool) -> None:
    """List the stored profiles.

    Newest first; those of one session, or all.
    """
    with connection.open() as client:
        profiles = client.list_profiles(session, limit)
    if as_json:
        output.write_json({"profiles": [profile_record(profile) for profile in profiles]})
    else:
        output.write_table(PROFILE_HEAD, map(profile_row, profiles))
    if len(profiles) == limit:
        output.note(f"these are the newest {limit}; --limit shows more")
    elif profiles:
        output.suggest(f"execctl report {profiles[0].id}")
