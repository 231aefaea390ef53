"""A source text in pieces that can be compiled one by one and have together the lines that the whole has.

The target's own interpreter compiles them, with its GIL held: a piece is what it can take at a time. The borders are
found by the tokenizer and not by `ast`: a hostile text cannot exhaust a parser's stack in the daemon, and a text with
syntax that is newer than the daemon's Python has borders all the same.
"""

from __future__ import annotations

import token
import tokenize
from dataclasses import dataclass, field
from time import thread_time
from typing import TYPE_CHECKING

from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Compiled in some milliseconds.
PIECE_CHARS = 16 << 10
# A single statement may be as long: a tenth of a second.
MAX_PIECE_CHARS = 256 << 10
# A text that has no borders for us may be as long.
MAX_WHOLE_CHARS = 64 << 10
# The tokenizer takes a second for a megabyte or two.
MAX_TEXT_CHARS = 8 << 20
# Of a core. Against texts made for it the tokenizer takes the square of a line's length.
PATIENCE_S = 20.0
_LOOK_EVERY = 16
# An import of every future there has ever been is shorter.
_TOKENS_KEPT = 64
_CONTINUATIONS = ("else", "elif", "except", "finally")
_LAYOUT = (token.NL, token.COMMENT, token.INDENT, token.DEDENT, token.NEWLINE, token.ENDMARKER)
# From here on the tokenizer of Python does not give them as strings, and `trace` takes no docstring for one.
_FSTRING_TOKENS = (3, 12)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is compiled at once.

    Attributes:
        source: its text; the future imports of the file stand before it, in a line of their own.
        first_line: of the source, so that its lines have the numbers that they have in the file.
        from_line: the first that is of the file.
    """

    source: str
    first_line: int
    from_line: int


@dataclass(frozen=True, slots=True)
class Outline:
    """A source text as it is compiled.

    Attributes:
        pieces: in the order of the file.
        strings: lines of strings that stand as the first of a block, docstrings among them, which count as lines that
            cannot run: `_find_strings` of Lib/trace.py.
    """

    pieces: tuple[Piece, ...]
    strings: frozenset[int]


@dataclass(slots=True)
class _Scan:
    """What one pass over the tokens finds."""

    borders: list[int] = field(default_factory=list)
    strings: set[int] = field(default_factory=set)
    futures: list[str] = field(default_factory=list)
    decorated: bool = False


def outline(lines: Sequence[str], version: tuple[int, int]) -> Outline:
    """Return the pieces of a source text.

    Args:
        lines: of the text, each with its newline.
        version: of the target's Python.

    Raises:
        UsageError: it cannot be cut into pieces that are short enough.
    """
    size = sum(map(len, lines))
    if size > MAX_TEXT_CHARS:
        raise UsageError(f"has {size >> 20} MiB, and at most {MAX_TEXT_CHARS >> 20} are compiled")
    scan = _Scan()
    try:
        _scan(lines, version, scan)
    except (tokenize.TokenError, SyntaxError):
        # What is known of its strings holds up to there.
        return Outline(whole(lines), frozenset(scan.strings))
    pieces = tuple(_pieces(lines, scan))
    longest = max((len(piece.source) for piece in pieces), default=0)
    if longest > MAX_PIECE_CHARS:
        raise UsageError(
            f"has {longest >> 10} KiB in one statement, and at most {MAX_PIECE_CHARS >> 10} are compiled at a time"
        )
    return Outline(pieces, frozenset(scan.strings))


def whole(lines: Sequence[str]) -> tuple[Piece, ...]:
    """Return a text as one piece.

    Raises:
        UsageError: it is too long to be compiled at once.
    """
    text = "".join(lines)
    if len(text) > MAX_WHOLE_CHARS:
        raise UsageError(
            f"has {len(text) >> 10} KiB in no pieces, and at most {MAX_WHOLE_CHARS >> 10} are compiled at a time"
        )
    return (Piece(text, 1, 1),)


def _scan(lines: Sequence[str], version: tuple[int, int], scan: _Scan) -> None:
    previous = token.INDENT
    statement: list[tokenize.TokenInfo] = []
    until = thread_time() + PATIENCE_S
    for number, one in enumerate(tokenize.generate_tokens(_until(lines, until).__next__)):
        if number % _LOOK_EVERY == 0:
            _require_time(until)
        if one.type == token.STRING and previous == token.INDENT and not _is_other_token(one.string, version):
            scan.strings.update(range(one.start[0], one.end[0] + 1))
        previous = one.type
        if one.type not in _LAYOUT:
            # Its begin decides; of a table of a million entries not every one need be held.
            statement += [one] if len(statement) < _TOKENS_KEPT else []
        elif one.type == token.NEWLINE and statement:
            _note_statement(statement, scan)
            statement.clear()


def _until(lines: Sequence[str], until: float) -> Iterator[str]:
    """Yield the lines; within a string the tokenizer takes one after the other and says nothing."""
    for number, line in enumerate(lines):
        if number % _LOOK_EVERY == 0:
            _require_time(until)
        yield line


def _require_time(until: float) -> None:
    if thread_time() > until:
        raise UsageError("is of a kind that takes too long to be cut into pieces")


def _is_other_token(text: str, version: tuple[int, int]) -> bool:
    prefix = text[: min(text.find(quote) % len(text) for quote in "'\"")].lower()
    return version >= _FSTRING_TOKENS and ("f" in prefix or "t" in prefix)


def _note_statement(statement: list[tokenize.TokenInfo], scan: _Scan) -> None:
    first = statement[0]
    if first.start[1] > 0:
        return
    continues = scan.decorated or first.string in _CONTINUATIONS or first.type == token.STRING
    # A string would become the docstring of its piece.
    if not continues and first.line[:1] == first.string[:1]:
        scan.borders.append(first.start[0])
    scan.decorated = first.string == "@"
    if [one.string for one in statement[:3]] == ["from", "__future__", "import"]:
        names = "".join(one.string for one in statement[3:] if one.string not in "()").strip(",")
        scan.futures.append(f"from __future__ import {names}")


def _pieces(lines: Sequence[str], scan: _Scan) -> Iterator[Piece]:
    """Yield the pieces: statements together, up to PIECE_CHARS."""
    futures = "; ".join(scan.futures)
    start, size = 1, 0
    # What stands before the first statement goes with it: 3.9 gives a text without a statement a line of its own.
    ends = [*scan.borders[1:], len(lines) + 1]
    position = 1
    for end in ends:
        length = sum(map(len, lines[position - 1 : end - 1]))
        if size and size + length > PIECE_CHARS:
            yield _piece(lines, start, position, futures)
            start, size = position, 0
        size += length
        position = end
    yield _piece(lines, start, position, futures)


def _piece(lines: Sequence[str], start: int, end: int, futures: str) -> Piece:
    text = "".join(lines[start - 1 : end - 1])
    if start == 1 or not futures:
        return Piece(text, start, start)
    return Piece(f"{futures}\n{text}", start - 1, start)
