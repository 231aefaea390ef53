"""Labels as users write them, KEY=VALUE, and the option for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def parse_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Return labels, by key.

    Raises:
        ValueError: one is not KEY=VALUE, or two have one key and another value each.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ValueError(f"{text!r} is no label: write KEY=VALUE")
        if found.setdefault(key, value) != value:
            raise ValueError(f"the label {key!r} has two values: {found[key]!r} and {value!r}")
    return found


def format_labels(labels: Mapping[str, str]) -> str:
    """Return labels for people, "env=prod team=web", in the order of their keys."""
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def label_option(purpose: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command the option --label, whose values it gets as `labels`.

    Args:
        purpose: what it does, for the help.
    """
    return click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", callback=parsed, help=purpose)


def parsed(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Return the labels of an option or argument, for click."""
    try:
        return parse_labels(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=context, param=parameter) from error
