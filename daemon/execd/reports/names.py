"""How functions, threads and origins are called in reports."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from execd.model.change import of_one_session
from execd.model.profile import BUILTIN_FILE, IMPORTED
from execd.reports.escape import visible

if TYPE_CHECKING:
    from execd.model.fold import FunctionKey
    from execd.model.profile import Header, Label


# Options of an interpreter whose value is the next word.
_WITH_VALUE = frozenset({"-W", "-X"})
# What the module starts its processes by.
_MULTIPROCESSING = re.compile(r"-c from (multiprocessing\.\w+) import ")


def standard_name(function: FunctionKey) -> str:
    """Return what pstats prints for a function: `file:line(name)`, or `{name}` for a C function."""
    file, line, name = function
    if (file, line) != (BUILTIN_FILE, 0):
        return f"{file}:{line}({name})"
    if name.startswith("<") and name.endswith(">"):
        return f"{{{name[1:-1]}}}"
    return name


def visible_function(function: FunctionKey) -> FunctionKey:
    """Return the function with file and name made safe to show."""
    file, line, name = function
    return visible(file), line, visible(name)


def thread_title(label: Label) -> str:
    """Return how a thread is called, safe to show: its name where it has one, and its identifier."""
    if not label.pid:
        # Out of a file of another tool, or added up: they tell no threads apart.
        return "All threads: what was imported, or added up, does not tell them apart"
    name = f"{visible(label.thread_name)} " if label.thread_name else ""
    return f"Thread {name}({label.thread_id}) of process {label.pid}"


def command_line(header: Header) -> str:
    """Return the target's command line as a shell would take it, safe to show."""
    return visible(shlex.join(header.command_line)) or "(command line unknown)"


def program(header: Header) -> str:
    """Return what a process runs, without its interpreter, options of that and folders of the program, safe to show."""
    words = list(header.command_line)
    if len(words) > 1 and words[0].rpartition("/")[2].startswith("python"):
        del words[0]
        while len(words) > 1 and words[0].startswith("-") and words[0] not in ("-c", "-m"):
            del words[: 2 if words[0] in _WITH_VALUE else 1]
        if words[0] == "-m":
            del words[:1]
    of_multiprocessing = _MULTIPROCESSING.match(" ".join(words[:2]))
    if of_multiprocessing:
        return of_multiprocessing[1]
    words[:1] = [word.rpartition("/")[2] or word for word in words[:1]]
    return visible(shlex.join(words)) or "(command line unknown)"


def process_title(header: Header) -> str:
    """Return how a process of a tree is called, safe to show."""
    return f"Process {header.pid} ({visible(header.session)}): {program(header)}"


def span(header: Header) -> str:
    """Return the time that a profile covers, in UTC; of one from a file when it was imported."""
    start = datetime.fromtimestamp(header.started_at, UTC)
    if header.form == IMPORTED:
        return f"imported {start:%Y-%m-%d %H:%M:%S} UTC"
    return f"{start:%Y-%m-%d %H:%M:%S} UTC, {header.ended_at - header.started_at:.3f} s"


def plain_basis(earlier: Header, later: Header) -> str:
    """Return what the plain figures of a comparison are."""
    return "what happened between" if of_one_session(earlier, later) else "the figures as they are"
