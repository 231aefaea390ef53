"""The soak's figures: what grows is found, what is noise is not."""

from __future__ import annotations

from random import Random

import pytest
from soak.figures import geometric_mean, later_half, p99_ratio, slope


@pytest.fixture
def random() -> Random:
    """The same numbers every time."""
    return Random(1)  # noqa: S311 - it must be repeatable


def test_the_slope_of_a_line_is_known_exactly() -> None:
    found = slope([1000 + 0.5 * step for step in range(240)])
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_noise_around_a_constant_has_no_slope(random: Random) -> None:
    found = [slope([random.gauss(1000, 5) for _ in range(240)]) for _ in range(200)]
    covered = [one for one in found if one is not None and one.low <= 0 <= one.high]
    # 95% are to be; fewer than 180 of 200 come once in 1,000 runs of another seed.
    assert len(covered) >= 180


def test_a_growth_under_noise_is_found(random: Random) -> None:
    found = slope([1000 + 0.2 * step + random.gauss(0, 5) for step in range(240)])
    assert found is not None
    assert 0 < found.low < 0.2 < found.high


def test_too_few_values_have_no_slope() -> None:
    assert slope([1.0] * 11) is None
    assert slope([1.0] * 12) is not None


def test_the_oldest_of_an_uneven_number_are_left_out() -> None:
    found = slope([1e9, *[float(step) for step in range(24)]])
    assert found is not None
    assert found.value == pytest.approx(1)


def test_the_later_half_is_the_later_one() -> None:
    assert list(later_half([1, 2, 3, 4, 5])) == [3, 4, 5]


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_shift_of_the_p99_is_found_where_there_is_one(random: Random, factor: float) -> None:
    groups = [
        ([factor * random.expovariate(1) for _ in range(100)], [random.expovariate(1) for _ in range(100)])
        for _ in range(50)
    ]
    found = p99_ratio(groups, random)
    assert found is not None
    assert found.low < factor < found.high
    assert (found.low > 1) == (factor > 1)


def test_no_values_have_no_ratio(random: Random) -> None:
    assert p99_ratio([], random) is None
    assert p99_ratio([([], [1.0, 2.0])], random) is None


def test_ratios_that_cancel_out_have_the_mean_1() -> None:
    found = geometric_mean([2.0, 0.5, 4.0, 0.25])
    assert found is not None
    assert found.value == pytest.approx(1)
    assert found.low < 1 < found.high
    assert geometric_mean([2.0]) is None
