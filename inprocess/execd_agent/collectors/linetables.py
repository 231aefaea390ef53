"""The lines of code objects, by the target's own line tables, and of sources, by its own compiler.

Loaded on demand. What dis.findlinestarts gives is made here: that module brings ten others along.
"""

from __future__ import annotations

import sys

from execd_agent import compat
from execd_agent.collectors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

_CODE = type(sys._getframe().f_code)
_RESUME = 151  # the opcode of 3.11
_NEGATIVE = 128  # bytes of co_lnotab from here on stand for steps back


def line_ranges(code: CodeType) -> Iterator[tuple[int, int]]:
    """Yield where each range of a code object's instructions begins, byte offset, and its line."""
    if compat.HAS_LINE_RANGES:
        ranges: Any = code.co_lines()
        for start, _, line in ranges:
            if line is not None:
                yield start, line
        return
    offset, line = 0, code.co_firstlineno
    table = code.co_lnotab
    # A range ends where the offset grows; one of 256 lines or bytes takes several entries.
    for bytes_more, lines_more in zip(table[0::2], table[1::2]):
        if bytes_more:
            yield offset, line
            offset += bytes_more
        line += lines_more - 256 if lines_more >= _NEGATIVE else lines_more
    yield offset, line


def lines_of(code: CodeType) -> set[int]:
    """Return the lines that instructions of a code object itself stand on; line 0 stands for none."""
    return {line for _, line in line_ranges(code) if line}


def traced_lines(code: CodeType) -> set[int]:
    """Return those of them that a trace function may be told of (3.9 to 3.11)."""
    first = 0
    if compat.HAS_RESUME:
        # What stands before it, and it itself, is run before the call is told of.
        opcodes = code.co_code[::2]
        first = 2 * (opcodes.index(_RESUME) + 1) if _RESUME in opcodes else 0
    return {line for start, line in line_ranges(code) if line and start >= first}


def executable_lines(source: str, first_line: int, file: str) -> dict[str, Any]:
    """Return the lines of a source that can run, docstrings among them, and its functions.

    Args:
        source: Python source, of one function or of a whole file.
        first_line: the line that it begins on.
        file: its name.

    Raises:
        Refused: it does not compile.
        MemoryError, RecursionError: it may, another time; or it is nested too deeply.
    """
    lines: set[int] = set()
    functions: list[list[Any]] = []
    pending = [_compiled("\n" * (first_line - 1) + source, file)]
    while pending:
        code = pending.pop()
        lines |= lines_of(code)
        inner = [one for one in code.co_consts if type(one) is _CODE]
        functions += [[one.co_name, one.co_firstlineno] for one in inner]
        pending += inner
    return {"lines": sorted(lines), "functions": sorted(functions, key=_line_and_name)}


def _compiled(source: str, file: str) -> CodeType:
    """Compile a source without a warning of it: the program would show it, or raise under -W error."""
    import _warnings  # noqa: PLC0415 - for this alone

    # The C code compares an exact str with what it makes of the file's name; a pattern would need the re module.
    module = "<execd>" if compat.COMPILES_BY_MODULE else file.removesuffix(".py") or "<unknown>"
    options: dict[str, Any] = {"module": module} if compat.COMPILES_BY_MODULE else {}
    entry = ("ignore", None, Warning, module, 0)
    # Inside of a warnings.catch_warnings of the target the list is another one than the module's.
    lists = [_warnings.filters, getattr(sys.modules.get("warnings"), "filters", None)]
    chosen = [one for one in lists if type(one) is list]
    for filters in chosen:
        filters.insert(0, entry)
    try:
        return compile(source, file, "exec", 0, dont_inherit=True, **options)
    except (SyntaxError, ValueError, OverflowError) as error:
        raise Refused("%s does not compile: %s: %s" % (file, type(error).__name__, error)) from error
    finally:
        for filters in chosen:
            if entry in filters:
                filters.remove(entry)


def _line_and_name(function: list[Any]) -> tuple[int, str]:
    return function[1], function[0]
