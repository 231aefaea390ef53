"""The text of a source file as Python reads it: its encoding by BOM or cookie, its lines by universal newlines."""

from __future__ import annotations

import codecs
import io
import tokenize
from dataclasses import dataclass

from execd.errors import UsageError

# Their decoders take quadratic time; nobody writes programs in them.
_SLOW = ("idna", "punycode")


@dataclass(frozen=True, slots=True)
class SourceText:
    """A source file's text.

    Attributes:
        lines: each with its newline, also the last.
        encoding: as `tokenize.detect_encoding` names it: "utf-8-sig" where there is a BOM.
    """

    lines: tuple[str, ...]
    encoding: str


def read_text(data: bytes) -> SourceText:
    """Return the text of a source file, as `linecache` has it.

    Args:
        data: the file.

    Raises:
        UsageError: it is not in the encoding that it says, or in none that can be read.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if codecs.lookup(encoding).name in _SLOW:
            raise UsageError(f"is in the encoding {encoding}, which takes too long to decode")
        lines = io.TextIOWrapper(io.BytesIO(data), encoding).readlines()
    except UnicodeError as error:
        raise UsageError(f"cannot be decoded: {error}") from None
    except (SyntaxError, LookupError, ValueError) as error:
        raise UsageError(f"has an encoding that cannot be read: {error}") from None
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return SourceText(tuple(lines), encoding)
