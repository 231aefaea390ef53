"""`--bias`: what recording cost the program, and is taken off its times."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from execctl.errors import CollectorRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

AUTO = "auto"
_MOST_S = 1.0
MOST_UNIT_S = 1e9
# A module, and a function in it; whether they are there the process knows.
TIMER = re.compile(r"[^:\s]+:[^:\s]+")
_OF_TIMER = re.compile(r"\btimer\b")


def parsed_bias(ctx: click.Context, param: click.Parameter, value: str | None) -> str | float | None:
    """Return the value of the option as the daemon has it, None where it is not given; a click callback."""
    if value is None or value == AUTO:
        return value
    seconds = _number(value)
    if not 0 <= seconds <= _MOST_S:
        raise click.BadParameter(f"{value!r} is neither auto nor from 0 to {_MOST_S:g} seconds", ctx=ctx, param=param)
    return seconds


def parse_timer(text: str) -> str:
    """Return the name of a timer.

    Raises:
        ValueError: it is no module with a function in it.
    """
    if not TIMER.fullmatch(text):
        raise ValueError(f"{text!r} is no timer: write module:function, time:process_time")
    return text


def timer_remedy(refusal: str) -> str:
    """Return what to do about a refusal, "" where it is not of a timer."""
    if not _OF_TIMER.search(refusal):
        return ""
    return "name a function that returns a number, of a module that the program has imported; or use --clock cpu"


@contextmanager
def timers_remedied() -> Iterator[None]:
    """Give a refused timer its remedy: the process knows what is wrong, and not what this is called here."""
    try:
        yield
    except CollectorRefused as error:
        error.remedy = error.remedy or timer_remedy(error.message)
        raise


def parse_unit(text: str) -> float:
    """Return the seconds of a timer's unit.

    Raises:
        ValueError: it is no such number.
    """
    seconds = _number(text)
    if not 0 < seconds <= MOST_UNIT_S:
        raise ValueError(f"{text!r} is no number of seconds above 0, {MOST_UNIT_S:g} at most")
    return seconds


def check_clock(given: Mapping[str, Any]) -> None:
    """Refuse a unit without its timer, and two clocks.

    Raises:
        click.UsageError: names them.
    """
    if given["timeunit"] is not None and given["timer"] is None:
        raise click.UsageError("--timeunit belongs to --timer")
    if given["clock"] is not None and given["timer"] is not None:
        raise click.UsageError("--clock and --timer are two clocks: choose one")


def _number(text: str) -> float:
    """Return a number, NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
