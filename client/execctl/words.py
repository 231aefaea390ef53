"""Words that name what a command is of: a profile, a session, a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Sequence

Words = TypeVar("Words", bound="str | Sequence[str]")


def named(ctx: click.Context, param: click.Parameter, value: Words) -> Words:
    """Return the words of an argument; a click callback.

    What is left out means the newest, or the only one; an empty word, as an unset variable of a shell's is, does not.

    Raises:
        click.BadParameter: one is empty.
    """
    words = (value,) if isinstance(value, str) else value
    if "" in words and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
        raise click.BadParameter("it is empty, and names nothing: name one, or leave it out", ctx, param)
    return value
