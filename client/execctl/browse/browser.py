"""Browser: the verbs of `python -m pstats`, with its words; the daemon makes each table.

On a terminal Tab completes verbs, sort keys, names of functions and files, and Ctrl-R looks in the history. A line that
begins with a slash is ours: it searches the names.
"""

from __future__ import annotations

import cmd
import json
import os
import pstats
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from execctl import output
from execctl.browse.statistics import Statistics
from execctl.errors import ClientError
from execctl.query import View

if TYPE_CHECKING:
    from collections.abc import Container

    from execctl.browse.reading import Reader
    from execctl.client import Client

_NONE_LOADED = "No statistics object is loaded."
_ARGUMENTS = (
    "Arguments may be:",
    "* An integer maximum number of entries to print.",
    "* A decimal fractional number between 0 and 1, controlling",
    "  what fraction of selected entries to print.",
    "* A regular expression; only entries with function names",
    "  that match it are printed.",
)
_HELP = {
    "EOF": ("Leave the profile browser.",),
    "add": ("Add profile info from given file to current statistics object.",),
    "callees": ("Print callees statistics from the current stat object.", *_ARGUMENTS),
    "callers": ("Print callers statistics from the current stat object.", *_ARGUMENTS),
    "help": ("Show help for a given command.",),
    "quit": ("Leave the profile browser.",),
    "read": ("Read in profile data from a specified file.", "Without argument, reload the current file."),
    "reverse": ("Reverse the sort order of the profiling report.",),
    "sort": (
        "Sort profile data according to specified keys.",
        "(Typing `sort' without arguments lists valid keys.)",
    ),
    "stats": ("Print statistics from the current stat object.", *_ARGUMENTS),
    "strip": ("Strip leading path information from filenames in the report.",),
}


class _Output:
    """Where cmd.Cmd writes."""

    def write(self, text: str) -> None:
        """Print a text."""
        output.write_stream(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept."""


class Browser(cmd.Cmd):
    """Reads verbs from standard input until `quit`, or its end."""

    def __init__(self, client: Client, reader: Reader) -> None:
        super().__init__(stdout=_Output())  # type: ignore[arg-type]  # cmd writes, and does no more
        self.prompt = "% "
        self._client = client
        self._reader = reader
        self._statistics: Statistics | None = None
        self._names: tuple[str, ...] = ()

    def onecmd(self, line: str) -> bool:
        """Do what a line asks for; what the daemon refuses is told, and the next line comes."""
        try:
            return bool(super().onecmd(line))
        except ClientError as error:
            output.error(error.message, error.remedy)
            return False

    def default(self, line: str) -> None:
        """Search the names for what comes after a slash; no other line without a verb means anything."""
        if line.startswith("/"):
            self._search(line[1:])
        else:
            super().default(line)

    def do_help(self, arg: str) -> None:
        """Show help for a given command."""
        if arg in _HELP:
            self._say(*_HELP[arg])
        else:
            super().do_help(arg)

    def do_read(self, line: str) -> None:
        """Read in profile data."""
        if not line and len(self.prompt) > len("% "):
            line = self.prompt[: -len("% ")]
        if not line:
            self._say("No statistics object is current -- cannot reload.")
            return
        try:
            self._statistics = Statistics((self._reader.read(line),))
        except OSError as error:
            self._say(error.strerror or str(error))
            return
        self._names = ()
        self.prompt = f"{line}% "

    def do_add(self, line: str) -> None:
        """Add profile info to what was read."""
        if self._statistics is None:
            self._say(_NONE_LOADED)
            return
        try:
            self._statistics = self._statistics.with_added(self._reader.read(line))
        except OSError as error:
            self._say(f"Failed to load statistics for {line}: {error}")
            return
        self._names = ()

    def do_stats(self, line: str) -> None:
        """Print statistics."""
        self._table(View.FUNCTIONS, line)

    def do_callers(self, line: str) -> None:
        """Print callers statistics."""
        self._table(View.CALLERS, line)

    def do_callees(self, line: str) -> None:
        """Print callees statistics."""
        if self._table(View.CALLEES, line) and self._statistics:
            self._statistics = self._statistics.with_callees()

    def do_sort(self, line: str) -> None:
        """Sort by keys, or list them."""
        keys = line.split()
        if self._statistics is None:
            self._say(_NONE_LOADED)
        elif keys and all(key in _abbreviations() for key in keys):
            self._statistics = self._statistics.sorted_by(keys)
        else:
            self._say("Valid sort keys (unique prefixes are accepted):")
            self._say(*(f"{key} -- {title}" for key, title in _sort_keys().items()))

    def do_reverse(self, line: str) -> None:
        """Reverse the order."""
        del line
        if self._statistics is None:
            self._say(_NONE_LOADED)
        else:
            self._statistics = self._statistics.reversed()

    def do_strip(self, line: str) -> None:
        """Strip directories."""
        del line
        if self._statistics is None:
            self._say(_NONE_LOADED)
        else:
            self._statistics = self._statistics.stripped()
            self._names = ()

    def do_quit(self, line: str) -> bool:
        """Leave."""
        del line
        return True

    def do_EOF(self, line: str) -> bool:  # noqa: N802 - what cmd calls the end of the input
        """Leave."""
        del line
        self._say("")
        return True

    def complete_sort(self, text: str, *_: Any) -> list[str]:
        """Return the sort keys that begin so."""
        return [key for key in _sort_keys() if key.startswith(text)]

    def complete_stats(self, text: str, *_: Any) -> list[str]:
        """Return the functions that begin so, each as one word."""
        names = {name.rpartition("(")[2].rstrip(")") for name in self._known_names()}
        return sorted(name for name in names if name.startswith(text) and " " not in name)

    complete_callers = complete_callees = complete_stats

    def complete_read(self, text: str, *_: Any) -> list[str]:
        """Return the files whose names begin so."""
        folder, slash, begun = text.rpartition("/")
        try:
            entries = list(os.scandir(folder + slash or "."))
        except OSError:
            return []
        found = [f"{folder}{slash}{one.name}{'/' if one.is_dir() else ''}" for one in entries]
        return sorted(one for one in found if one.startswith(text) and (begun or not one.startswith(".")))

    complete_add = complete_read

    def _table(self, view: View, line: str) -> bool:
        """Print a table, and return whether there was anything to print."""
        limits = self._restrictions(line)
        if self._statistics is None:
            self._say(_NONE_LOADED)
            return False
        printed = self._client.render(self._statistics.query(view, limits)).data.decode("utf-8", "backslashreplace")
        output.write_stream(printed)
        return bool(printed)

    def _restrictions(self, line: str) -> list[str]:
        """Return what a line restricts a table to, as the daemon takes it: numbers as pstats' browser reads them."""
        found = []
        for word in line.split():
            number = _number(word)
            if isinstance(number, int):
                found.append(str(number))
            elif number is None:
                found.append(word)
            elif number > 1 or number < 0:
                self._say("Fraction argument must be in [0, 1]")
            elif number == number:  # noqa: PLR0124 - "nan" restricts nothing
                found.append(_fraction(number))
        return found

    def _search(self, pattern: str) -> None:
        if self._statistics is None:
            self._say(_NONE_LOADED)
            return
        try:
            rex = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            self._say(f"<Invalid regular expression {pattern!r}>: {error}")
            return
        output.write_lines(name for name in self._known_names() if rex.search(name))

    def _known_names(self) -> tuple[str, ...]:
        """Return what the functions are called in tables."""
        if self._statistics and not self._names:
            report = json.loads(self._client.render(self._statistics.names_query()).data)
            self._names = tuple(sorted({_standard_name(one) for one in report["functions"]}))
        return self._names

    def _say(self, *lines: str) -> None:
        output.write_stream("".join(f"{line}\n" for line in lines))


def _number(word: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return None


def _fraction(number: float) -> str:
    """Return it with a point and without an exponent: that is what a restriction with a point is."""
    text = f"{Decimal(repr(number)):f}"
    return text if "." in text else f"{text}.0"


def _standard_name(one: dict[str, Any]) -> str:
    place, name = (one["file"], one["line"]), one["name"]
    if place != ("~", 0):
        return f"{one['file']}:{one['line']}({name})"
    return f"{{{name[1:-1]}}}" if name.startswith("<") and name.endswith(">") else name


def _sort_keys() -> dict[str, str]:
    return {key: title for key, (_, title) in pstats.Stats.sort_arg_dict_default.items()}


def _abbreviations() -> Container[str]:
    return pstats.Stats().get_sort_arg_defs()
