"""Figures as people read them: counts in groups, times in one unit, shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Unit:
    """What the times of a table are told in.

    Attributes:
        name: "ms".
        ns: how many make one.
        decimals: of a figure.
        nothing: what no time at all is.
    """

    name: str
    ns: int
    decimals: int = 3
    nothing: str = "0"

    def text(self, ns: float, *, signed: bool = False) -> str:
        """Return a time without the unit's name; nothing at all is a bare word."""
        if not ns:
            return self.nothing
        return f"{ns / self.ns:{'+' if signed else ''},.{self.decimals}f}"

    def exactly(self, ns: float) -> str:
        """Return a time to the nanosecond, without the unit's name; nothing at all is a bare word."""
        if not ns:
            return self.nothing
        return f"{ns / self.ns:,.{len(str(self.ns)) - 1}f}"


_UNITS = (Unit("s", 1_000_000_000), Unit("ms", 1_000_000), Unit("us", 1_000))
_SMALLEST = Unit("ns", 1, 0)
_KIB = 1024
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_ONE_DECIMAL, _UNIT = 100, 10 * 1024


def unit_of(times_ns: Iterable[float]) -> Unit:
    """Return the unit for all of some times: the one in which the largest is 1 or more."""
    largest = max(map(abs, times_ns), default=0)
    if not largest:
        return _UNITS[0]
    return next((unit for unit in _UNITS if largest >= unit.ns), _SMALLEST)


def time_text(ns: float) -> str:
    """Return a time that stands alone, with its unit."""
    unit = unit_of([ns])
    return f"{unit.text(ns)} {unit.name}"


def count_text(calls: int, primitive_calls: int) -> str:
    """Return calls: `3/1` where some were recursive."""
    return f"{calls:,}" if calls == primitive_calls else f"{calls:,}/{primitive_calls:,}"


def number_of(count: int, what: str) -> str:
    """Return how many there are of something: "1 call", "1,234 calls"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def part(amount: float, whole: float) -> float:
    """Return the share that an amount has, 0.0 of nothing."""
    return amount / whole if whole else 0.0


def percent(share: float) -> str:
    """Return a share as a percentage, without the sign."""
    return f"{share:.1%}".removesuffix("%")


def size_text(size: float, *, signed: bool = False) -> str:
    """Return a size with its unit: at most five digits, one decimal below a hundred."""
    sign = "+" if signed else ""
    for unit in _SIZES[:-1]:
        if abs(size) < _ONE_DECIMAL and unit != "B":
            return f"{size:{sign}.1f} {unit}"
        if abs(size) < _UNIT:
            return f"{size:{sign}.0f} {unit}"
        size /= _KIB
    return f"{size:{sign}.{1 if abs(size) < _ONE_DECIMAL else 0}f} {_SIZES[-1]}"
