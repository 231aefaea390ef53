"""Options whose value is a number with its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable


Number = TypeVar("Number", int, float)


def quantity(
    parse: Callable[[str], Number],
) -> Callable[[click.Context, click.Parameter, str | None], Number | None]:
    """Return a click callback that parses the value of an option, where it has one.

    Args:
        parse: returns the value; a ValueError of its becomes a usage error.
    """

    def parsed(ctx: click.Context, param: click.Parameter, value: str | None) -> Number | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx=ctx, param=param) from error

    return parsed
