"""`execctl profiles list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.descendants import Trees, newest, stored_trees, unfolded_option
from execctl.durations import parse_age_s
from execctl.labels import label_option
from execctl.quantities import quantity
from execctl.records import profile_record
from execctl.tables import PROFILE_HEAD, profile_row
from execctl.words import named

if TYPE_CHECKING:
    from execctl.api.stored import StoredProfile
    from execctl.connection import Connection


@click.command("list")
@click.argument("session", default="", metavar="[SESSION]", callback=named)
@click.option(
    "--session", "named", default="", metavar="SESSION", help="As SESSION; for one that is called as a word is."
)
@click.option("--collector", default="", metavar="NAME", help="Only those of this one: calls, lines, memory.")
@label_option("Only those that have this label; several: all of them.")
@click.option(
    "--newer-than", metavar="AGE", callback=quantity(parse_age_s), help="Only those stored since: 30m, 12h, 7d ago."
)
@click.option(
    "--older-than", metavar="AGE", callback=quantity(parse_age_s), help="Only those stored before: 30m, 12h, 7d ago."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@unfolded_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, of process trees each process.")
@click.pass_obj
def list_profiles(
    connection: Connection,
    /,
    *,
    session: str,
    named: str,
    collector: str,
    labels: dict[str, str],
    newer_than: float | None,
    older_than: float | None,
    limit: int,
    is_unfolded: bool,
    as_json: bool,
) -> None:
    """List the stored profiles.

    Newest first; those of one session, or all. Those of the session `s1 (+8)` are of a process, of which --children
    recorded eight descendants; `execctl report s1` is of all.
    """
    if session and named:
        raise click.UsageError(f"{session} and --session {named} are two sessions: name one")

    def ask(most: int) -> list[StoredProfile]:
        return client.profiles(
            session or named,
            collector=collector,
            labels=labels,
            max_age_s=newer_than or 0.0,
            min_age_s=older_than or 0.0,
            limit=most,
        )

    with connection.open() as client:
        known = Trees(()) if is_unfolded or as_json or session or named else stored_trees(client)
        profiles = newest(ask, lambda rows: [row for row in rows if not known.has(row.session)], limit)
    if as_json:
        output.write_json({"profiles": [profile_record(profile) for profile in profiles]})
    else:
        output.write_table(PROFILE_HEAD, (profile_row(profile, known.name(profile.session)) for profile in profiles))
    if len(profiles) == limit:
        output.note(f"these are the newest {limit}; --limit shows more")
    elif profiles:
        first = profiles[0]
        output.suggest(f"execctl report {first.session if known.below(first.session) else first.id}")
