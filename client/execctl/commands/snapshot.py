"""`execctl snapshot`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from execctl import output
from execctl.census import take_census
from execctl.comparison import CompareCommand, compare_option
from execctl.delivery import deliver
from execctl.descendants import Trees, trees
from execctl.errors import ClientError, NotFound, UsageError
from execctl.query import ReportQuery
from execctl.recording import ending
from execctl.settings import BY_TYPE_TOO, CUMULATIVE, OF_BLOCKS, asked_settings, settings_options
from execctl.suggestions import after_profile, after_snapshot
from execctl.waiting import waiting_for_census
from execctl.words import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execctl.api.stored import StoredProfile
    from execctl.client import Client
    from execctl.connection import Connection

# These mean a position in the session's own row of profiles, which may be empty; other values name a thing.
POSITIONS = frozenset({"prev", "first"})


_TYPE = "type"
_SETTINGS = (BY_TYPE_TOO, CUMULATIVE, *OF_BLOCKS)


@click.command("snapshot", cls=CompareCommand)
@click.argument("session", default="", metavar="[PID|SESSION|NAME]", callback=named)
@click.option("--name", default="", help="What to call the snapshot.")
@compare_option
@settings_options(_SETTINGS)
@click.option(
    "--yes", "confirmed", is_flag=True, help="Also where it holds the process up for more than half a second."
)
@click.option("--json", "as_json", is_flag=True, help="With --compare: print JSON.")
@click.pass_obj
def command(
    connection: Connection,
    /,
    *,
    session: str,
    name: str,
    compare: str,
    confirmed: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Store a profile of sessions that go on.

    A PID or the name of a process means every session on it, nothing the only session that goes on. With
    --compare it also shows what changed; digits after --compare are the PID, not what to compare with.
    With --by type it counts the live objects of a process by type, as `execctl census` does; no session is needed.
    """
    settings = asked_settings(_SETTINGS, given)
    is_census = settings.get("by") == _TYPE
    if is_census:
        _refuse_in_census(session, name, settings)
        settings = {}
    if (settings or as_json) and not compare:
        raise click.UsageError("how to compare is said, and not --compare")
    form = "json" if as_json else "text"
    query = ReportQuery("", form, compare=compare, settings=settings, layout=output.layout())
    with connection.open() as client:
        if is_census:
            _count(client, session, query, confirmed=confirmed)
        else:
            _tell(client, client.snapshot(session, name, confirmed=confirmed), name, query)


def _refuse_in_census(target: str, name: str, settings: Mapping[str, object]) -> None:
    if not target:
        raise click.UsageError("a census is of a process: name its PID")
    if name:
        raise click.UsageError("a census has no name: leave --name out")
    if len(settings) > 1:
        raise click.UsageError("--by type fits none of the options for blocks of memory")


def _count(client: Client, target: str, query: ReportQuery, *, confirmed: bool) -> None:
    profile = take_census(client, target, confirmed=confirmed, on_wait=waiting_for_census(target), on_end=ending)
    if query.compare:
        _compare(client, query.of_profile(profile))
    else:
        output.write_lines([profile])
        output.suggest(*after_profile(profile, "census"))


def _tell(client: Client, taken: Sequence[StoredProfile], name: str, query: ReportQuery) -> None:
    known = trees(client) if len(taken) > 1 else Trees(())
    nodes = Counter[str]()
    for profile in taken:
        nodes[known.root(profile.session)] += profile.nodes
    # A root's snapshot stands for those of its descendants.
    profiles = [profile for profile in taken if not known.has(profile.session)]
    for profile in profiles:
        session = known.name(profile.session)
        called = f", called {profile.name}" if name and profile.name != name else ""
        output.note(f"{profile.id}: {profile.collector} of session {session}, {nodes[profile.session]} nodes{called}")
    if query.compare:
        _compare_all(client, profiles, query)
    else:
        _list(profiles)


def _list(profiles: Sequence[StoredProfile]) -> None:
    output.write_lines(profile.id for profile in profiles)
    for profile in profiles:
        output.suggest(*after_snapshot(profile.id, profile.collector, profile.pid))


def _compare_all(client: Client, profiles: Sequence[StoredProfile], query: ReportQuery) -> None:
    """Compare each profile with its own earlier one; of several, one that does not compare does not stop the others."""
    failures: list[ClientError] = []
    for profile in profiles:
        try:
            _compare(client, query.of_profile(profile.id))
        except ClientError as failure:
            if len(profiles) == 1 or not isinstance(failure, UsageError):
                raise
            output.note(f"{profile.id}: {failure.message}")
            failures.append(failure)
    if failures and len(failures) == len(profiles):
        raise failures[0]


def _compare(client: Client, query: ReportQuery) -> None:
    try:
        rendering = client.render(query)
    except ClientError as error:
        if not isinstance(error, NotFound) or query.compare not in POSITIONS:
            raise
        output.note(f"{query.subject}: nothing earlier to compare with")
        return
    deliver(rendering, query.form, None, has_color=query.layout.has_color)
