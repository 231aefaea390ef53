"""`execctl profiles rm`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.archive import MOST_LISTED
from execctl.errors import NotFound
from execctl.sizes import format_size_bytes
from execctl.tables import PROFILE_HEAD, profile_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execctl.api.stored import StoredProfile
    from execctl.client import Client
    from execctl.connection import Connection

_SESSION = re.compile(r"s\d+")


@click.command("rm")
@click.argument("subjects", nargs=-1, required=True, metavar="WHAT...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(connection: Connection, *, subjects: tuple[str, ...], yes: bool) -> None:
    """Remove stored profiles.

    WHAT is a profile (p34), the name of one, or a session (s12): then all of its profiles. What is to go is shown, and
    asked about on a terminal; elsewhere --yes is needed. Profiles of a session that goes on are told of as such.
    """
    with connection.open() as client:
        profiles = _meant(client, subjects)
        if not yes and not _confirmed(profiles):
            output.note("nothing was removed")
            return
        _tell_running(profiles)
        for profile in profiles:
            client.remove(profile.id, also_running=profile.running)
            output.write_lines([profile.id])


def _meant(client: Client, subjects: Sequence[str]) -> list[StoredProfile]:
    """Return the profiles that words mean, each once.

    Raises:
        NotFound: one means none.
    """
    stored = client.profiles(limit=MOST_LISTED)
    found: dict[str, StoredProfile] = {}
    for subject in subjects:
        if _SESSION.fullmatch(subject):
            # Asked, and not picked: there may be more than one list holds.
            fitting = client.profiles(subject, limit=MOST_LISTED)
        else:
            # The newest of a name, as everywhere.
            fitting = [one for one in stored if subject in (one.id, one.name)][:1]
        if not fitting:
            raise _not_found(subject)
        found |= {one.id: one for one in fitting}
    return list(found.values())


def _confirmed(profiles: Sequence[StoredProfile]) -> bool:
    """Show what is to go, and ask.

    Raises:
        click.UsageError: there is nobody to ask.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"{len(profiles)} profiles would be removed: say --yes where nobody can be asked")
    output.write_table(PROFILE_HEAD, map(profile_row, profiles))
    _tell_running(profiles)
    size = format_size_bytes(sum(one.stored_bytes for one in profiles))
    return click.confirm(f"Remove {len(profiles)} profiles, {size}?", err=True)


def _tell_running(profiles: Sequence[StoredProfile]) -> None:
    for profile in profiles:
        if profile.running:
            output.note(f"{profile.id} is of session {profile.session}, which goes on")


def _not_found(subject: str) -> NotFound:
    return NotFound(f"there is no profile {subject!r}", remedy="`execctl profiles` lists them")
