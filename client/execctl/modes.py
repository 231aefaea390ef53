"""What an attach can measure: each mode is a flag of `execctl attach` and one collector of the daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from execctl import settings
from execctl.bias import check_clock, parse_timer, parse_unit, parsed_bias
from execctl.durations import parse_kept_s
from execctl.quantities import quantity
from execctl.query import SessionSpec
from execctl.rates import parse_rate_hz
from execctl.shares import parse_share

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
        split: makes several values of one, where it takes a list of them.
        recorded: whether the collector gets it; else it is about what this command shows.
        stands_for: what the collector gets for a flag that is given, where that is not True.
    """

    flag: str
    key: str
    help: str
    inverted: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    split: Callable[[str], list[str]] | None = field(default=None, compare=False)
    recorded: bool = True
    stands_for: str = ""

    @property
    def parameter(self) -> str:
        """The name under which click hands its value over."""
        return self.flag.removeprefix("--").replace("-", "_")

    def is_given(self, value: Any) -> bool:
        """Whether a value is one that the user gave."""
        # 0 is a value: that of a bias.
        return value is not None and value is not False and value != ()

    def converted(self, value: Any) -> object:
        """Return the collector's value for what click hands over."""
        if self.inverted:
            return not value
        if self.stands_for:
            return self.stands_for
        if self.split:
            return [one for text in value for one in self.split(text) if one]
        return list(value) if isinstance(value, tuple) else value


_FLAG: Mapping[str, Any] = {"is_flag": True}
BUILTINS = ModeOption("--no-builtins", "builtins", "leave C functions out, and their cost.", True, _FLAG)
SUBCALLS = ModeOption("--no-subcalls", "subcalls", "do not tell apart who called whom.", True, _FLAG)
CLOCK = ModeOption(
    "--clock",
    "clock",
    "the time of day, or the CPU time of each thread; wall without it.",
    settings={"type": click.Choice(("wall", "cpu"))},
)
TIMER = ModeOption(
    "--timer",
    "timer",
    "a function of the program's as the clock, called there at each event.",
    settings={"callback": quantity(parse_timer), "metavar": "MODULE:FUNCTION"},
)
TIMEUNIT = ModeOption(
    "--timeunit",
    "timeunit",
    "the seconds that one of the timer's figure is; 1 without it.",
    settings={"callback": quantity(parse_unit), "metavar": "SECONDS"},
)
BIAS = ModeOption(
    "--bias",
    "bias",
    "what one event costs, taken off the times of reports: auto, which is measured there; 0 for nothing.",
    settings={"callback": parsed_bias, "metavar": "auto|SECONDS"},
)
FORM = ModeOption(
    "--form",
    "form",
    "native: recorded by C code, as without it where that can be; python: by code in Python, at ten times the cost.",
    settings={"type": click.Choice(("native", "python"))},
)
MAX_OVERHEAD = ModeOption(
    "--max-overhead",
    "max_overhead",
    "how much recording may add to the program's CPU time, 20%: above it short functions are no longer recorded.",
    settings={"callback": quantity(parse_share), "metavar": "SHARE"},
)


def _patterns(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of an option; a click callback."""
    if not all(map(str.strip, values)):
        raise click.BadParameter("a pattern is empty, and no code is like that: name a module or a path", ctx, param)
    return values


_PATTERNS: Mapping[str, Any] = {"multiple": True, "metavar": "PATTERN", "callback": _patterns}
INCLUDE = ModeOption(
    "--include",
    "include",
    "record only code of these modules, and what is in them; with a slash or .py, of these files.",
    settings=_PATTERNS,
)
EXCLUDE = ModeOption(
    "--exclude",
    "exclude",
    "leave out code of these modules or files: its time is its callers', and on 3.12 and newer it costs little.",
    settings=_PATTERNS,
)


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
    (BUILTINS, SUBCALLS, INCLUDE, EXCLUDE, CLOCK, TIMER, TIMEUNIT, BIAS, FORM, MAX_OVERHEAD),
    (BUILTINS, SUBCALLS),
)
IGNORE_MODULE = ModeOption(
    "--ignore-module",
    "ignore_modules",
    "leave out these modules, and what is in them where they are packages.",
    settings=settings.IGNORE_MODULE.arguments,
    split=settings.IGNORE_MODULE.split,
)
IGNORE_DIR = ModeOption(
    "--ignore-dir",
    "ignore_dirs",
    "leave out what is below these directories; $prefix and $exec_prefix are the target's.",
    settings=settings.IGNORE_DIR.arguments,
    split=settings.IGNORE_DIR.split,
)
TIMING = ModeOption(
    "--timing", "timing", "show the seconds since the start before each line.", settings=_FLAG, recorded=False
)
FUNCTION = ModeOption(
    "--function", "function", "only functions whose name or qualified name is like this.", settings={"metavar": "GLOB"}
)
THREAD = ModeOption("--thread", "thread", "only the thread of this name or number.", settings={"metavar": "NAME"})
LIMIT_EVENTS = ModeOption(
    "--limit-events",
    "limit_events",
    "end after so many lines and calls.",
    settings={"type": click.IntRange(min=1), "metavar": "N"},
)
_IGNORE = (IGNORE_MODULE, IGNORE_DIR)
COUNT = Mode("--count", "lines", "count how often each line runs, as trace does", _IGNORE)
COVER = Mode("--cover", "cover", "note which lines run, at next to no cost on 3.12 and newer", _IGNORE)
LISTFUNCS = Mode("--listfuncs", "functions", "list the functions that are called", _IGNORE)
TRACKCALLS = Mode("--trackcalls", "callers", "list who calls whom", _IGNORE)
TRACE = Mode(
    "--trace",
    "trace",
    "show lines as they run, and keep the latest of them",
    (TIMING, FUNCTION, THREAD, LIMIT_EVENTS, *_IGNORE),
)
NFRAME = ModeOption(
    "--nframe",
    "nframe",
    "how many frames of each traceback are kept; 1 without it.",
    settings={"type": click.IntRange(1, 65535), "metavar": "N"},
)
MEMORY = Mode("--memory", "memory", "trace allocated memory, as tracemalloc does", (NFRAME,))
RATE = ModeOption(
    "--rate",
    "rate_hz",
    "how often a second each thread is looked at; 200 without it.",
    settings={"callback": quantity(parse_rate_hz), "metavar": "HZ"},
)
STOP = ModeOption(
    "--stop",
    "stopping",
    "hold each running thread while it is read, always; else only where that is needed.",
    settings=_FLAG,
    stands_for="always",
)
NEVER_STOP = ModeOption(
    "--never-stop", "stopping", "hold no thread, whatever is lost by that.", settings=_FLAG, stands_for="never"
)
KEEP = ModeOption(
    "--keep",
    "keep_s",
    "keep only the latest samples, of so long (15m), and go on.",
    settings={"callback": quantity(parse_kept_s), "metavar": "DURATION"},
)
SAMPLE = Mode(
    "--sample", "samples", "sample the stacks of all threads, from outside", (RATE, STOP, NEVER_STOP, KEEP, THREAD)
)
MODES = (PROFILE, SAMPLE, COUNT, COVER, LISTFUNCS, TRACKCALLS, TRACE, MEMORY)


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
    if LISTFUNCS in modes and {COUNT, TRACE} & set(modes):
        # In the words of trace.py, and for its reason: a function that was seen is not looked at again.
        raise click.UsageError("cannot specify both --listfuncs and (--trace or --count)")
    for option, owners in _owners().items():
        if modes and option.is_given(given[option.parameter]) and not set(owners) & set(modes):
            flags = " or ".join(mode.flag for mode in owners)
            raise click.UsageError(f"{option.flag} belongs to {flags}")
    if given[STOP.parameter] and given[NEVER_STOP.parameter]:
        raise click.UsageError("--stop and --never-stop exclude each other")
    check_clock(given)
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
        option
        for option in mode.options
        if option.recorded and (option in mode.always or option.is_given(given[option.parameter]))
    ]
    return {option.key: option.converted(given[option.parameter]) for option in chosen}
