"""How what is recorded is kept: the options --label and --into, which every command has that starts sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from execctl.labels import label_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execctl.query import SessionSpec


def keeping_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --label and --into to a command, which gets them as `labels` and `into`."""
    into = click.option(
        "--into",
        metavar="NAME",
        default="",
        help="Add what is recorded to the stored profile of this name, made where there is none.",
    )
    return label_option("Label the sessions; `execctl profiles --label` chooses by it.")(into(function))


def kept(specs: Sequence[SessionSpec], labels: Mapping[str, str], into: str) -> list[SessionSpec]:
    """Return specs of sessions that are kept so; of several, each is added to a profile of its collector's own."""
    names = [f"{into}-{spec.collector}" if into and len(specs) > 1 else into for spec in specs]
    return [replace(spec, labels=labels, into=name) for spec, name in zip(specs, names, strict=True)]
