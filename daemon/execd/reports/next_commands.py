"""The command that tells more, at the end of a text report: it can be typed as it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from execd.model.profile import BUILTIN_FILE
from execd.reports.layout import DIM
from execd.reports.widths import width_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.fold import FunctionKey
    from execd.model.profile import Header, Profile
    from execd.reports.layout import Layout

# What a shell, and a regular expression, take as it is; a point there is any character, itself among them. The name
# comes from a target, and somebody will paste it.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")
_LEAD = "next: "
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./:@+-]{0,200}")


def closing(layout: Layout, command: str) -> list[str]:
    """Return the lines below a report that name a command; nothing where there is none, or no header is wanted.

    One that is wider than the report goes without its last options: half an option could not be typed.
    """
    while layout.width and width_of(_LEAD + command) > layout.width:
        command, has_more, _ = command.rpartition(" --")
        # Without any option it is the report that is shown.
        command = command if has_more and " --" in command else ""
    return ["", layout.styled(_LEAD + command, DIM)] if command and layout.has_header and not layout.is_part else []


def report_of(header: Header, options: str) -> str:
    """Return the command for another report of a stored profile, or of a tree; "" of what is not stored."""
    own = header.lasting or header.profile
    subject = header.tree.snapshot or header.tree.session if header.tree else own
    return f"execctl report {subject} {options}".rstrip() if subject else ""


def callers_of(profile: Profile, functions: Iterable[FunctionKey]) -> str:
    """Return the command for who called the first of some functions that a command line can name.

    Args:
        profile: in which they are.
        functions: as they are shown.
    """
    for file, line, name in functions:
        if file == BUILTIN_FILE or not _PLAIN.fullmatch(name):
            continue
        alike = {(one.file, one.name) for one in profile.functions if name in one.name or name in one.file}
        limit = name if len(alike) == 1 else f"{file.rpartition('/')[2]}:{line}"
        return report_of(profile.header, f"--callers --limit {limit}") if is_plain(limit) else ""
    return ""


def source_of(header: Header, paths: Iterable[str]) -> str:
    """Return the command for the source of the first of some files that a command line can name."""
    path = next((path for path in paths if is_plain(path)), "")
    return report_of(header, f"--file {path}") if path else ""


def is_plain(path: str) -> bool:
    """Return whether a path stands for itself in a shell."""
    return bool(_PLAIN_PATH.fullmatch(path))
