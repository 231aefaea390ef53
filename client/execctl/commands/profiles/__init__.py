"""`execctl profiles` and its sub-commands; without one it lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl.commands.profiles.label import label
from execctl.commands.profiles.list import list_profiles
from execctl.commands.profiles.remove import remove
from execctl.commands.profiles.rename import rename

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIST = "list"
# In the order in which help shows them.
_COMMANDS: Mapping[str, click.Command] = {_LIST: list_profiles, "rm": remove, "rename": rename, "label": label}


class ListingGroup(click.Group):
    """A group whose first word may be left out where it is `list`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the sub-commands."""
        del ctx
        return [*_COMMANDS]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what begins with no sub-command for a list: `profiles s12`, `profiles --json`."""
        named = args[0] in _COMMANDS or args[0] in ctx.help_option_names if args else ctx.resilient_parsing
        return super().parse_args(ctx, args if named else [_LIST, *args])


@click.group("profiles", cls=ListingGroup, commands=_COMMANDS)
def command() -> None:
    """List the stored profiles.

    Without a sub-command it lists: `execctl profiles s12` is `execctl profiles list s12`.
    """
