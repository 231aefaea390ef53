"""`execctl snapshot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.comparison import CompareCommand, compare_option
from execctl.errors import ClientError
from execctl.query import ReportQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd_api.v1.profiles_pb2 import Profile

    from execctl.client import Client
    from execctl.connection import Connection

# These mean a position in the session's own row of profiles, which may be empty; other values name a thing.
POSITIONS = frozenset({"prev", "first"})


@click.command("snapshot", cls=CompareCommand)
@click.argument("session", default="", metavar="[PID|SESSION|NAME]")
@click.option("--name", default="", help="What to call the snapshot.")
@compare_option
@click.pass_obj
def command(connection: Connection, *, session: str, name: str, compare: str) -> None:
    """Store a profile of sessions that go on.

    A PID or the name of a process means every session on it, nothing the only session that goes on. With
    --compare it also shows what changed; digits after --compare are the PID, not what to compare with.
    """
    with connection.open() as client:
        profiles = client.snapshot(session, name)
        for profile in profiles:
            output.note(f"{profile.id}: {profile.collector} of session {profile.session}, {profile.nodes} nodes")
        if compare:
            for profile in profiles:
                _compare(client, profile, compare)
        else:
            _list(profiles)


def _list(profiles: Sequence[Profile]) -> None:
    output.write_lines(profile.id for profile in profiles)
    for profile in profiles:
        output.suggest(f"execctl report {profile.id}")


def _compare(client: Client, profile: Profile, earlier: str) -> None:
    try:
        rendering = client.render(ReportQuery(profile.id, "text", compare=earlier))
    except ClientError as error:
        if error.kind != "not_found" or earlier not in POSITIONS:
            raise
        output.note(f"{profile.id}: nothing earlier to compare with")
        return
    output.write_bytes(output.printable(rendering.data, "text"))
    for sentence in rendering.notes:
        output.note(sentence)
