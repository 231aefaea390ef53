"""The option --compare, whose value may be left out.

click's own optional values cannot be used for it: `--compare 4711` would take the PID as its value, and
`--compare -1` ends in "No such option". So the arguments are rewritten before click sees them, and --compare
always has a value there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

OPTION = "--compare"
DEFAULT = "prev"
# A PID or a session says what is looked at; neither is anything to compare with.
_SUBJECT = re.compile(r"[0-9]+|s[0-9]+")
_NEGATIVE = re.compile(r"-[0-9]+")


class CompareCommand(click.Command):
    """A command with --compare[=NAME|pN|prev|first]."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give --compare its value where it has none, then parse as usual."""
        return super().parse_args(ctx, with_comparison(args))


def compare_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --compare to a CompareCommand."""
    decorate = click.option(
        OPTION,
        metavar="[NAME|pN|prev|first]",
        default="",
        callback=_checked,
        help="Compare with an earlier profile of the session; alone: the previous one.",
    )
    return decorate(function)


def with_comparison(args: list[str]) -> list[str]:
    """Return the arguments with each --compare and its value, given or not, joined by a "="."""
    rewritten: list[str] = []
    rest = list(args)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*rewritten, argument, *rest]
        if argument == OPTION:
            argument = f"{OPTION}={rest.pop(0) if rest and _is_value(rest[0]) else DEFAULT}"
        rewritten.append(argument)
    return rewritten


def _is_value(argument: str) -> bool:
    if _NEGATIVE.fullmatch(argument):
        return True
    return bool(argument) and not argument.startswith("-") and not _SUBJECT.fullmatch(argument)


def _checked(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value.startswith("-") or _SUBJECT.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no profile: write NAME, pN, prev or first", ctx=ctx, param=param)
    return value
