r"""Makes text that came from a target harmless: no byte of it may steer a terminal or fake a line.

Everything that Python does not call printable is written as an escape, as `repr` does: control characters and
ESC, marks that turn the direction of writing, zero-width and private characters, lone surrogates, line ends.
"""

from __future__ import annotations

import re

# Characters that a JSON text may hold between its values; inside strings a writer has escaped them already.
_JSON_LAYOUT = frozenset("\n\r\t")
_BMP_END = 0x10000
_STYLE = re.compile(r"(\x1b\[(?:0|1|2|3[1-6])(?:;3[1-6])?m)")


def escape(text: str) -> str:
    r"""Return the text on one line, each unprintable character as \x1b, \u202e or \U000e0001."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def escape_lines(text: str) -> str:
    r"""Return the text with its line ends (\n alone) kept and everything else escaped as in `escape`."""
    return "\n".join(escape(line) for line in text.split("\n"))


def escape_styled(text: str) -> str:
    r"""Return the text as `escape_lines` does, with the SGR sequences of a report kept: bold, dim and colours."""
    # The pattern captures: every second piece is a sequence.
    pieces = _STYLE.split(text)
    return "".join(piece if place % 2 else escape_lines(piece) for place, piece in enumerate(pieces))


def escape_json(text: str) -> str:
    r"""Return the same JSON value with every unprintable character as \uXXXX, so that it still parses."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in _JSON_LAYOUT else _json_escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escaped(character: str) -> str:
    code = ord(character)
    if code < _BMP_END:
        return f"\\u{code:04x}"
    high, low = divmod(code - _BMP_END, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
