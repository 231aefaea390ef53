"""Identifiers and names: what tells "s12", a PID and a name of the user's apart."""

from __future__ import annotations

import re
from typing import Final

from execd.errors import NotFound, UsageError

SESSION: Final = "s"
PROFILE: Final = "p"
GROUP: Final = "g"

_NOUNS = {SESSION: "session", PROFILE: "profile", GROUP: "group"}
_IDENTIFIER = re.compile(r"[spg]([0-9]+)", re.IGNORECASE)
# What `--compare` and `--into` read as something else than a name.
_WORDS = frozenset({"prev", "first"})
_MAX_NAME_LENGTH = 100
_MAX_DIGITS = 18  # what SQLite's integers hold


def spell(kind: str, number: int) -> str:
    """Return the identifier of row `number`, "s12"."""
    return f"{kind}{number}"


def number_of(kind: str, reference: str) -> int | None:
    """Return the row that an identifier of this kind means, None where the reference is a name.

    Raises:
        NotFound: it is neither an identifier of this kind nor a possible name.
    """
    found = _IDENTIFIER.fullmatch(reference)
    if found and reference[0] == kind and len(found[1]) <= _MAX_DIGITS:
        return int(found[1])
    if found or not reference.isprintable() or not reference:
        raise not_found(kind, reference)
    return None


def not_found(kind: str, reference: str) -> NotFound:
    """Return the error for a reference that means nothing."""
    noun = _NOUNS[kind]
    return NotFound(f"there is no {noun} {reference!r}", remedy=f"`execctl {noun}s` lists them", reference=reference)


def taken(kind: str, name: str, number: int, which: str) -> UsageError:
    """Return the error for a name that another row has.

    Args:
        kind: of both.
        name: the user's.
        number: the row that has it.
        which: what makes that row keep the name, for the message.
    """
    holder = spell(kind, number)
    return UsageError(
        f"the name {name!r} is taken by {_NOUNS[kind]} {holder}, {which}",
        remedy="choose another name",
        name=name,
        holder=holder,
    )


def check_name(name: str) -> str:
    """Return a name that a user gave, "" for none.

    Raises:
        UsageError: it could be taken for an identifier, a PID or an option, or would disturb a terminal.
    """
    problem = _problem(name)
    if problem:
        raise UsageError(f"the name {name[:_MAX_NAME_LENGTH]!r} {problem}", remedy="choose another name", name=name)
    return name


def _problem(name: str) -> str:
    if len(name) > _MAX_NAME_LENGTH:
        return f"is longer than {_MAX_NAME_LENGTH} characters"
    # Not printable: control characters, marks that turn the direction, lone surrogates, line separators.
    if not name.isprintable():
        return "contains characters that cannot be printed"
    if name != name.strip() or name.startswith("-"):
        return "starts with a hyphen or has blanks around it"
    if _IDENTIFIER.fullmatch(name) or name.casefold() in _WORDS:
        return "means something else already"
    if name.lstrip("+").replace("_", "").isnumeric():
        return "looks like a PID"
    return ""
