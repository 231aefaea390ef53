"""`execctl profiles rename`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("rename")
@click.argument("subject", metavar="PROFILE|SESSION")
@click.argument("name", metavar="NAME")
@click.pass_obj
def rename(connection: Connection, *, subject: str, name: str) -> None:
    """Give a profile, or a session that has ended, another name.

    The profile is named by its id (p34) or its name, the session by its id (s12). An empty NAME takes the name away.
    """
    with connection.open() as client:
        found = client.rename(subject, name)
    output.write_lines([found])
    output.note(f"{found} is called {name}" if name else f"{found} has no name any more")
