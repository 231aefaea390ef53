"""Patterns of names, `*`, `?` and `[...]` as fnmatch has them; that module and re would be further ones in a target."""

from __future__ import annotations


def matches(name: str, pattern: str) -> bool:
    """Tell whether a pattern fits all of a name, letters as they are written."""
    at, star, resume = 0, -1, 0
    position = 0
    while at < len(name):
        width = _fits(name[at], pattern, position)
        if position < len(pattern) and pattern[position] == "*":
            star, resume = position, at
            position += 1
        elif width:
            at += 1
            position += width
        elif star >= 0:
            # The last star takes one character more.
            resume += 1
            at, position = resume, star + 1
        else:
            return False
    return not pattern[position:].strip("*")


def _fits(character: str, pattern: str, position: int) -> int:
    """Return how many characters of the pattern stand for this one of a name, 0 where they do not fit it."""
    if position >= len(pattern):
        return 0
    sign = pattern[position]
    end = _set_end(pattern, position) if sign == "[" else -1
    if end >= 0:
        return end + 1 - position if _in_set(character, pattern[position + 1 : end]) else 0
    return 1 if sign in ("?", character) else 0


def _set_end(pattern: str, position: int) -> int:
    """Return where a set ends, -1 where it does not: then its bracket stands for itself."""
    start = position + 1
    if pattern[start : start + 1] == "!":
        start += 1
    # A bracket that comes first belongs to the set.
    return pattern.find("]", start + 1)


def _in_set(character: str, members: str) -> bool:
    negated = members.startswith("!")
    members = members[1:] if negated else members
    found, index = False, 0
    while index < len(members):
        if members[index + 1 : index + 2] == "-" and index + 2 < len(members):
            found = found or members[index] <= character <= members[index + 2]
            index += 3
        else:
            found = found or members[index] == character
            index += 1
    return found != negated
