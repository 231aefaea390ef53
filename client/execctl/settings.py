"""What reports of one collector alone are asked for: each a flag here, and a key of the report's settings there."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from execctl import output
from execctl.bias import parsed_bias
from execctl.durations import parse_age_s
from execctl.moments import parse_span_s
from execctl.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from execctl.query import Layout


def _names(text: str) -> list[str]:
    return text.split(",")


def _directories(text: str) -> list[str]:
    # $prefix and $exec_prefix are the target's, and stay.
    return [os.path.expanduser(one) for one in text.split(os.pathsep)]  # noqa: PTH111 - Path drops a last slash


@dataclass(frozen=True, slots=True)
class Setting:
    """A flag.

    Attributes:
        flags: as it is written.
        key: the daemon's name of it.
        help: for `--help`.
        arguments: for click: type, metavar, multiple, is_flag.
        split: makes several values of one, where it takes a list of them.
    """

    flags: tuple[str, ...]
    key: str
    help: str
    arguments: Mapping[str, Any] = field(compare=False)
    split: Callable[[str], list[str]] | None = field(default=None, compare=False)

    @property
    def parameter(self) -> str:
        """The name under which click hands its value over."""
        return f"set_{self.key}"

    def converted(self, value: Any) -> object:
        """Return the daemon's value for what click hands over."""
        if self.split:
            return [one for text in value for one in self.split(text) if one]
        return list(value) if isinstance(value, tuple) else value


_FLAG: Mapping[str, Any] = {"is_flag": True}


def _several(metavar: str) -> Mapping[str, Any]:
    return {"multiple": True, "metavar": metavar}


MISSING = Setting(("-m", "--missing"), "missing", "lines: mark with >>>>>> those that can run and did not.", _FLAG)
FLAT = Setting(("--flat",), "flat", "lines: with -C, package.module.cover instead of package/module.cover.", _FLAG)
FILE = Setting(("--file",), "file", "lines: the source of this file alone, with its counts.", {"metavar": "FILE"})
IGNORE_MODULE = Setting(
    ("--ignore-module",),
    "ignore_modules",
    "lines, functions: leave out these modules, and what is in them where they are packages.",
    _several("NAME[,NAME]"),
    _names,
)
IGNORE_DIR = Setting(
    ("--ignore-dir",),
    "ignore_dirs",
    "lines, functions: leave out what is below these directories; $prefix and $exec_prefix are the target's.",
    _several(f"DIR[{os.pathsep}DIR]"),
    _directories,
)
_GROUPINGS = ("filename", "lineno", "traceback")
_PLACES = ("function", "line", "file")
BY = Setting(
    ("--by",),
    "by",
    "memory: blocks by filename, lineno or traceback; samples: by function, line or file.",
    {"type": click.Choice((*_GROUPINGS, *_PLACES))},
)
BY_TYPE_TOO = replace(
    BY,
    help="memory: blocks by file, by line or by traceback; type: live objects by type, of a census.",
    arguments={"type": click.Choice((*_GROUPINGS, "type"))},
)
CUMULATIVE = Setting(
    ("--cumulative",), "cumulative", "memory: count a block for every frame of its traceback; not by traceback.", _FLAG
)
INCLUDE = Setting(
    ("--include",), "include", "memory: only blocks of files like this, or of one line there.", _several("GLOB[:LINE]")
)
EXCLUDE = Setting(("--exclude",), "exclude", "memory: leave out blocks of files like this.", _several("GLOB[:LINE]"))
ALL_FRAMES = Setting(
    ("--all-frames",), "all_frames", "memory: --include and --exclude look at every frame, not the newest alone.", _FLAG
)
DOMAIN = Setting(
    ("--domain",), "domain", "memory: only blocks of this domain of tracemalloc.", {"type": int, "metavar": "N"}
)
FRAMES = Setting(
    ("--frames",),
    "frames",
    "memory: the N newest frames of each traceback; of a negative one the oldest.",
    {"type": int, "metavar": "N"},
)
TIMING = Setting(("-g", "--timing"), "timing", "trace: the seconds since the start before each line.", _FLAG)
BIAS = Setting(
    ("--bias",),
    "bias",
    "calls: what one event costs, taken off the times: auto, as it was measured; 0 shows what was recorded.",
    {"callback": parsed_bias, "metavar": "auto|SECONDS"},
)
VIEW = Setting(
    ("--view",),
    "view",
    "samples: wall, of all threads; cpu, of those that ran; gil, of those that held the interpreter's lock.",
    {"type": click.Choice(("wall", "cpu", "gil"))},
)
NEWEST_FIRST = Setting(("--most-recent-first",), "most_recent_first", "memory: the newest frame on top.", _FLAG)

OF_LINES = (MISSING, FLAT, FILE)
OF_BLOCKS = (INCLUDE, EXCLUDE, ALL_FRAMES, DOMAIN)
FILTERS = (IGNORE_MODULE, IGNORE_DIR, *OF_BLOCKS)
OF_MEMORY = (BY, CUMULATIVE, FRAMES, NEWEST_FIRST)


def settings_options(settings: Sequence[Setting]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds these flags to a command, which gets them as `given`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for setting in reversed(settings):
            arguments = {**setting.arguments, "help": setting.help[0].upper() + setting.help[1:]}
            function = click.option(*setting.flags, setting.parameter, **arguments)(function)
        return function

    return decorate


def time_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command which time of an always-on recording it is of; `asked_times` reads it."""
    between = click.option(
        "--between",
        nargs=2,
        metavar="FROM TO",
        callback=_span_s,
        help="Samples: of an always-on recording this time, by your clock: 10:02 10:05, 2026-11-20T23:58 00:03.",
    )
    last = click.option(
        "--last", metavar="AGE", callback=quantity(parse_age_s), help="Samples: of an always-on recording the last 5m."
    )
    return last(between(function))


def asked_times(given: Mapping[str, Any]) -> dict[str, object]:
    """Return the values of `time_options`, by the daemon's names.

    Raises:
        click.UsageError: two spans of time are given.
    """
    last_s, span_s = given["last"], given["between"]
    if last_s and span_s:
        raise click.UsageError("--last and --between are two spans of time: ask for one")
    if last_s:
        return {"last_s": last_s}
    return dict(zip(("from_s", "to_s"), span_s, strict=True)) if span_s else {}


def _span_s(ctx: click.Context, param: click.Parameter, value: tuple[str, str] | None) -> tuple[float, float] | None:
    try:
        return parse_span_s(*value, time.time()) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command where its report goes, and as what: `as_json` and `file`."""
    function = click.option("-o", "--output", "file", metavar="FILE", help="Write to this file.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def layout_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command how its text is laid out; `asked_layout` reads it."""
    options = (
        click.option("--wide", "is_wide", is_flag=True, help="Shorten nothing, whatever the width of the terminal."),
        click.option("--no-header", is_flag=True, help="The table alone."),
        click.option(
            "--color",
            type=click.Choice(("auto", "always", "never")),
            default="auto",
            help="auto: on a terminal alone, and not where NO_COLOR is set.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def asked_layout(given: Mapping[str, Any], file: str | None) -> Layout:
    """Return the value of `layout_options` for the place that a report goes to."""
    return output.layout(file, given["color"], is_wide=given["is_wide"], has_header=not given["no_header"])


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command what tables of functions are asked for, alone or compared; `asked_table` reads it."""
    options = (
        click.option("--sort", multiple=True, metavar="KEY[,KEY]", help="pstats' sort keys, the first one decides."),
        click.option("--reverse", is_flag=True, help="The other way round."),
        click.option(
            "--limit",
            multiple=True,
            metavar="N|FRACTION|REGEX",
            help="Fewer lines: a number, a fraction from 0.0 to 1.0, a regular expression; several apply in order.",
        ),
        click.option(
            "--strip-dirs", is_flag=True, help="File names without directories; what becomes equal is merged."
        ),
        click.option("--thread", default="", metavar="NAME|ID", help="Only this thread."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def asked_table(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `table_options`, as ReportQuery takes them."""
    table = {name: given[name] for name in ("reverse", "limit", "strip_dirs", "thread")}
    return {**table, "sort": tuple(key for keys in given["sort"] for key in keys.split(",") if key)}


def asked_settings(settings: Sequence[Setting], given: Mapping[str, Any]) -> dict[str, object]:
    """Return the values that were given, by the daemon's names.

    Args:
        settings: those that the command has.
        given: what click hands over, by parameter.
    """
    values = [(setting, given[setting.parameter]) for setting in settings]
    # 0 is a value: that of a domain.
    return {
        setting.key: setting.converted(value)
        for setting, value in values
        if value is not None and value is not False and value != ()
    }
