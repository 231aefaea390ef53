"""Collapsed stacks, as flamegraph.pl reads them: `outermost;...;innermost COUNT` a line.

What the counts are the file does not say: samples, or a time; the header's option "unit" does.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.imports.pickle_reader import MAX_TEXT
from execd.imports.stacks import StackTree
from execd.model.collector import SAMPLES
from execd.model.profile import Function, Label

if TYPE_CHECKING:
    from collections.abc import Callable

    from execd.model.profile import Header, Profile

UNITS = {"samples": 0, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_MOST_FRAMES = 65_535
_MOST_FRAMES_IN_ALL = 16_000_000
_COUNT = re.compile(rb"[0-9]{1,18}(\.[0-9]{0,18})?")
# What execd and pstats call a function.
_STANDARD = re.compile(r"(.+):([0-9]{1,9})\((.*)\)", re.DOTALL)
_MAX_FIGURE = 1 << 62
# So much is looked at to tell the format.
_BEGINNING = 1 << 16
# What execd writes for the two characters that a frame cannot have.
_ESCAPED = {r"\x20": " ", r"\x3b": ";"}


def looks_like(data: bytes) -> bool:
    """Return whether a file begins with a stack and a count, and has stacks of several frames."""
    start = data[:_BEGINNING].lstrip()
    line = start.split(b"\n", 1)[0]
    *stack, count = line.split() or [b""]
    return bool(stack) and b";" in start and _COUNT.fullmatch(count) is not None and b"\0" not in line


def profile_of(data: bytes, header: Header, spend: Callable[[int], None]) -> Profile:
    """Return a file's stacks as a profile of samples.

    Args:
        data: the file.
        header: where they come from; its collector is replaced.
        spend: is told of steps before they are made, and may raise.

    Raises:
        UsageError: it is no such file, or is over the limits; or there is no such unit.
    """
    unit = header.options.get("unit", "samples")
    if unit not in UNITS:
        raise UsageError(f"collapsed stacks do not count {unit!a}", remedy=f"choose from: {', '.join(UNITS)}")
    tree, room = StackTree(SAMPLES), _MOST_FRAMES_IN_ALL
    functions = lru_cache(maxsize=1 << 16)(_function)
    for number, line in enumerate(io.BytesIO(data), 1):
        try:
            frames, count = _read(line)
            room -= len(frames)
            spend(1 + len(frames))
            if room < 0:
                raise ValueError(f"there are over {_MOST_FRAMES_IN_ALL} frames")  # noqa: TRY301 - told as the others
            if frames:
                path = [tree.location(functions(frame), 0) for frame in frames]
                tree.add(path, Label(0, "", 0), _figures(count, str(unit)))
        except ValueError as error:
            raise UsageError(
                f"these are no collapsed stacks: line {number}: {error}",
                remedy="each line is a stack, frames with semicolons between them, a blank and a count",
            ) from None
    return tree.profile(replace(header, collector=SAMPLES.name, options={"unit": unit}))


def _read(line: bytes) -> tuple[list[str], bytes]:
    """Return the frames of a line and its count; none of one that is empty."""
    stack, *count = line.rsplit(None, 1) or [b""]
    if not stack:
        return [], b"0"
    if not count or not _COUNT.fullmatch(count[0]):
        raise ValueError("there is no count")
    *_, last = stack.rsplit(None, 1)
    if last != stack and _COUNT.fullmatch(last):
        raise ValueError("there are two counts, as of a difference of two profiles")
    if stack.count(b";") >= _MOST_FRAMES:
        raise ValueError(f"a stack has over {_MOST_FRAMES} frames")
    frames = stack.rstrip().decode("utf-8", "surrogateescape").split(";")
    return frames, count[0]


def _function(frame: str) -> Function:
    if len(frame) > MAX_TEXT:
        raise ValueError(f"a frame has more than {MAX_TEXT} characters")
    for escaped, character in _ESCAPED.items():
        frame = frame.replace(escaped, character)
    match = _STANDARD.fullmatch(frame)
    if match and int(match[2]):
        return Function(match[3], match[3], match[1], int(match[2]))
    return Function(frame, frame, "", 0)


def _figures(count: bytes, unit: str) -> tuple[int, int, int]:
    whole, _, fraction = count.partition(b".")
    if unit == "samples":
        if fraction.strip(b"0"):
            raise ValueError("a count of samples is no whole number: say what is counted, --unit ms")
        return _checked(int(whole)), 0, 0
    return 0, _checked(round(float(count) * UNITS[unit]) if fraction else int(whole) * UNITS[unit]), 0


def _checked(figure: int) -> int:
    if figure > _MAX_FIGURE:
        raise ValueError("a count is out of range")
    return figure
