"""What an attach can measure: each mode is a flag of `execctl attach` and one collector of the daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from execctl.query import SessionSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class ModeOption:
    """An option of one mode or of several.

    Attributes:
        flag: as it is written.
        key: the collector's name of it.
        help: for `--help`, after the modes that it belongs to.
        inverted: a flag that switches off what is on.
        settings: for click: type, metavar, multiple, is_flag ...
    """

    flag: str
    key: str
    help: str
    inverted: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def parameter(self) -> str:
        """The name under which click hands its value over."""
        return self.flag.removeprefix("--").replace("-", "_")

    def is_given(self, value: Any) -> bool:
        """Whether a value is one that the user gave."""
        return value not in (None, False, ())

    def converted(self, value: Any) -> object:
        """Return the collector's value for what click hands over."""
        if self.inverted:
            return not value
        return list(value) if isinstance(value, tuple) else value


_FLAG: Mapping[str, Any] = {"is_flag": True}
BUILTINS = ModeOption("--no-builtins", "builtins", "leave C functions out, and their cost.", True, _FLAG)
SUBCALLS = ModeOption("--no-subcalls", "subcalls", "do not tell apart who called whom.", True, _FLAG)


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode: its flag, the collector behind it, what it is good for, its own options.

    Attributes:
        always: options that are sent where they are not given too.
    """

    flag: str
    collector: str
    purpose: str
    options: tuple[ModeOption, ...] = ()
    always: tuple[ModeOption, ...] = ()

    @property
    def parameter(self) -> str:
        """The name under which click hands over whether it was given."""
        return self.flag.removeprefix("--").replace("-", "_")


PROFILE = Mode(
    "--profile",
    "calls",
    "count and time every call, as cProfile does",
    (BUILTINS, SUBCALLS),
    (BUILTINS, SUBCALLS),
)
MODES = (PROFILE,)


def mode_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flag of each mode and their options to a command, which gets them as `given`."""
    for option, modes in reversed(_owners().items()):
        flags = ", ".join(mode.flag for mode in modes)
        function = click.option(option.flag, help=f"With {flags}: {option.help}", **option.settings)(function)
    for mode in reversed(MODES):
        text = mode.purpose[0].upper() + mode.purpose[1:] + "."
        function = click.option(mode.flag, mode.parameter, is_flag=True, help=text)(function)
    return function


def asked_specs(given: Mapping[str, Any], shared: Mapping[str, object]) -> list[SessionSpec]:
    """Return what the modes that were given are to record.

    Args:
        given: the values of `mode_options`, by parameter.
        shared: options of all collectors.

    Raises:
        click.UsageError: an option of a mode that was not given, or modes that exclude each other.
    """
    modes = [mode for mode in MODES if given[mode.parameter]]
    for option, owners in _owners().items():
        if modes and option.is_given(given[option.parameter]) and not set(owners) & set(modes):
            flags = " or ".join(mode.flag for mode in owners)
            raise click.UsageError(f"{option.flag} belongs to {flags}")
    return [SessionSpec(mode.collector, {**_options(mode, given), **shared}) for mode in modes]


def mode_list() -> str:
    """Return the modes for people, one on a line."""
    width = max(len(mode.flag) for mode in MODES)
    return "\n".join(f"  {mode.flag.ljust(width)}  {mode.purpose}" for mode in MODES)


def _owners() -> dict[ModeOption, list[Mode]]:
    """Return each option with the modes that it belongs to, in their order."""
    owners: dict[ModeOption, list[Mode]] = {}
    for mode in MODES:
        for option in mode.options:
            owners.setdefault(option, []).append(mode)
    return owners


def _options(mode: Mode, given: Mapping[str, Any]) -> dict[str, object]:
    chosen: Sequence[ModeOption] = [
        option for option in mode.options if option in mode.always or option.is_given(given[option.parameter])
    ]
    return {option.key: option.converted(given[option.parameter]) for option in chosen}
