"""Text from a target made safe to show: it may try to drive the reader's terminal, or to forge lines."""

from __future__ import annotations

import re

# Longer than any path (PATH_MAX is 4,096); a name of megabytes would be padded in every line of a table.
MAX_SHOWN = 5_000

_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return the text with each character that does not print as \xNN, \uNNNN, \UNNNNNNNN; cut at MAX_SHOWN.

    These are control characters and ESC, line separators, marks of direction and other invisible format
    characters, lone surrogates, and spaces other than the ordinary one. Names that print come back unchanged.
    """
    if len(text) > MAX_SHOWN:
        text = text[:MAX_SHOWN] + "..."
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else code(char) for char in text)


def frame(text: str) -> str:
    r"""Return the text as one frame of a collapsed stack: visible, without `;` and spaces."""
    return visible(text).replace(";", code(";")).replace(" ", code(" "))


def valid(text: str) -> str:
    r"""Return the text with lone surrogates as \uNNNN: what UTF-8 and JSON can hold."""
    return _SURROGATE.sub(lambda match: code(match.group()), text)


def code(char: str) -> str:
    r"""Return a character as \xNN, \uNNNN or \UNNNNNNNN, the shortest that fits."""
    point = ord(char)
    if point >> 8 == 0:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point >> 16 == 0 else f"\\U{point:08x}"
