"""What a walk says of memory: a leak is told, what the server does that is left alone is not."""

from __future__ import annotations

from random import Random

import pytest
from soak.walks import LEAST_GROWTH_KIB, LEAST_LOOKS, LOOK_EVERY_S, a_minute_of, growth_told, more

LOOKS = 2 * LEAST_LOOKS
LOOKS_A_MINUTE = 60 / LOOK_EVERY_S


def looks(kib_a_minute: float, count: int = LOOKS) -> list[float]:
    """Of a memory that grows so much, in the midst of noise."""
    random = Random(1)  # noqa: S311 - it must be repeatable
    return [30_000 + kib_a_minute / LOOKS_A_MINUTE * look + random.gauss(0, 20) for look in range(count)]


def test_what_a_minute_adds_is_measured_of_the_later_half() -> None:
    early = [30_000 + 100.0 * look for look in range(LOOKS // 2)]
    found = a_minute_of(early + [early[-1]] * (LOOKS // 2))
    assert found is not None
    assert found.value == pytest.approx(0)


@pytest.mark.parametrize("what", LEAST_GROWTH_KIB)
def test_a_memory_that_grows_is_told(what: str) -> None:
    (told,) = growth_told("server", what, looks(2 * LEAST_GROWTH_KIB[what]))
    assert told.startswith(f"the server's memory, {what}, grows by ")


@pytest.mark.parametrize("what", LEAST_GROWTH_KIB)
def test_one_that_does_not_is_not_told(what: str) -> None:
    assert growth_told("server", what, looks(0)) == []
    assert growth_told("server", what, looks(2 * LEAST_GROWTH_KIB[what], LEAST_LOOKS - 1)) == []


@pytest.mark.parametrize("what", LEAST_GROWTH_KIB)
def test_what_grows_of_itself_is_no_leak(what: str) -> None:
    alone = looks(4 * LEAST_GROWTH_KIB[what])
    assert growth_told("server", what, more([5_000 + one for one in alone], alone)) == []


@pytest.mark.parametrize("what", LEAST_GROWTH_KIB)
@pytest.mark.parametrize("at", [LOOKS // 2 + 10, 3 * LOOKS // 4, LOOKS - 10])
def test_a_table_that_doubles_once_is_no_leak(what: str, at: int) -> None:
    step = 10 * LEAST_GROWTH_KIB[what]
    quiet, leaking = looks(0), looks(2 * LEAST_GROWTH_KIB[what])
    assert growth_told("server", what, quiet[:at] + [one + step for one in quiet[at:]]) == []
    assert growth_told("server", what, leaking[:at] + [one + step for one in leaking[at:]])
