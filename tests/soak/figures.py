"""Figures of a soak: a slope, a ratio of percentiles, each with the interval in which it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, linear_regression, quantiles, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

# Residuals of neighbouring measurements are alike, those of means of whole blocks hardly.
BLOCKS = 12
# Student's t for 95%, by degrees of freedom; beyond the last the normal distribution's is near enough.
T_95 = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09,
)  # fmt: skip
T_LARGE = 2.0
RESAMPLES = 400
LOWEST, HIGHEST = 0.025, 0.975


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% confidence interval."""

    value: float
    low: float
    high: float

    def rounded(self, digits: int) -> list[float]:
        """The three numbers as a journal keeps them."""
        return [round(number, digits) for number in (self.value, self.low, self.high)]


def t_95(degrees: int) -> float:
    """Student's t for a 95% interval."""
    return T_95[degrees - 1] if degrees <= len(T_95) else T_LARGE


def slope(values: Sequence[float]) -> Estimate | None:
    """The slope of equally spaced values, a step, by regression over the means of blocks; None of too few values."""
    size = len(values) // BLOCKS
    if size < 1:
        return None
    # What is left over is the oldest.
    recent = values[len(values) - size * BLOCKS :]
    means = [fmean(recent[start : start + size]) for start in range(0, len(recent), size)]
    places = [index * size for index in range(BLOCKS)]
    line = linear_regression(places, means)
    residual = sum((mean - line.intercept - line.slope * place) ** 2 for place, mean in zip(places, means, strict=True))
    spread = sum((place - fmean(places)) ** 2 for place in places)
    margin = t_95(BLOCKS - 2) * math.sqrt(residual / (BLOCKS - 2) / spread)
    return Estimate(line.slope, line.slope - margin, line.slope + margin)


def later_half(values: Sequence[float]) -> Sequence[float]:
    """What was measured when allocators had come to their working size."""
    return values[len(values) // 2 :]


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return quantiles(values, n=100)[98]


def p99_ratio(groups: Sequence[tuple[Sequence[float], Sequence[float]]], random: Random) -> Estimate | None:
    """The p99 of the pairs' first members, put together, over that of the second ones; None of too few values.

    Args:
        groups: values that were measured next to each other, in pairs.
        random: draws the pairs of the bootstrap that gives the interval.
    """
    drawn = [pooled_ratio(random.choices(groups, k=len(groups))) for _ in range(RESAMPLES)] if groups else []
    ratio = pooled_ratio(groups)
    ratios = sorted(one for one in drawn if one is not None)
    if ratio is None or len(ratios) < RESAMPLES:
        return None
    return Estimate(ratio, ratios[int(LOWEST * RESAMPLES)], ratios[int(HIGHEST * RESAMPLES)])


def pooled_ratio(groups: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """The ratio of the p99 of all first members and of all second ones."""
    first = [value for group, _ in groups for value in group]
    second = [value for _, group in groups for value in group]
    return p99(first) / p99(second) if min(len(first), len(second)) > 1 else None


def geometric_mean(values: Sequence[float]) -> Estimate | None:
    """The geometric mean of ratios; None of fewer than two."""
    if len(values) < 2:
        return None
    logs = [math.log(value) for value in values]
    margin = t_95(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    middle = fmean(logs)
    return Estimate(math.exp(middle), math.exp(middle - margin), math.exp(middle + margin))
