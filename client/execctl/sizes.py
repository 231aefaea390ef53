"""Sizes as users write them: 500KB, 64MB, 1GB, 1TB; the units are powers of 1024, written 64MiB too."""

from __future__ import annotations

import re

_UNIT_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_STEP = 1024
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT])i?B", re.IGNORECASE)
_LEAST_BYTES, _MOST_BYTES = 1 << 18, 1 << 40


def parse_size_bytes(text: str) -> int:
    """Return the size in bytes.

    Raises:
        ValueError: the text is no size, or not between 256 KB and 1024 GB.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number with its unit (KB, MB, GB, TB): 500KB, 64MB or 1GB")
    size_bytes = round(float(match[1]) * _UNIT_BYTES[match[2].upper()])
    if not _LEAST_BYTES <= size_bytes <= _MOST_BYTES:
        raise ValueError(f"{text!r} is not between 256KB and 1TB")
    return size_bytes


def format_size_bytes(size: int) -> str:
    """Return a size for people: "512 B", "1.5 KiB", "64.0 MiB", as reports have it."""
    value, units = float(size), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    for larger in units:
        if value < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
