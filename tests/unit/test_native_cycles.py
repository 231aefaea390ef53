"""The native core: recordings that begin and end again and again in one process leave nothing there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

# What comes before is warming up: free lists and caches are filled, and malloc's arenas.
WARM, CYCLES = 200, 300
MANY = 1_000
# What growth is none, a cycle: three times what was measured. A leak has at least an object, or a page, of each cycle.
LEAST = {"objects": 1.2, "blocks": 1.6, "malloc_bytes": 250, "resident_bytes": 12_500}
LEAST_OF_MANY = {"objects": 0.15, "blocks": 0.9, "malloc_bytes": 50, "resident_bytes": 250}
# Where two threads that follow each other overlap, malloc has another arena, and pthreads another stack: 4 were seen.
MAPPINGS = 20
MANY_TIMEOUT_S = 600


@pytest.fixture
def native(drivers: Drivers) -> Drivers:
    """Drivers of the native form."""
    return drivers.in_form("native")


def test_no_descriptor_thread_mapping_or_reference_is_left(native: Drivers, interpreter: Interpreter) -> None:
    result = native.run(interpreter, "cycling", "cycles", WARM, CYCLES)
    assert result["why"] == ""
    assert_nothing_left(result)


def test_no_memory_is_left(native: Drivers, interpreter: Interpreter) -> None:
    result = native.run(interpreter, "cycling", "cycles", WARM, CYCLES)
    assert growth(result, CYCLES, LEAST) == {}


@pytest.mark.soak
@pytest.mark.timeout(MANY_TIMEOUT_S)
def test_nothing_is_left_of_a_thousand_recordings(native: Drivers, interpreter: Interpreter) -> None:
    result = native.run(interpreter, "cycling", "cycles", MANY, MANY, timeout_s=MANY_TIMEOUT_S)
    assert_nothing_left(result)
    assert growth(result, MANY, LEAST_OF_MANY) == {}


def assert_nothing_left(result: dict[str, Any]) -> None:
    """Nothing of what the process can count is more than it was."""
    before, after = result["before"], result["after"]
    for name in ("descriptors", "threads"):
        assert after[name] == before[name]
    assert after["mappings"] <= before["mappings"] + MAPPINGS
    # The first is None, which everything refers to: fewer than one a cycle come or go.
    none_before, *watched_before = before["references"]
    none_after, *watched_after = after["references"]
    assert watched_after == watched_before
    assert abs(none_after - none_before) < none_before / 2


def growth(result: dict[str, Any], cycles: int, least: dict[str, float]) -> dict[str, float]:
    """What grew by more than that, a cycle."""
    grown = {name: (result["after"][name] - result["before"][name]) / cycles for name in least}
    return {name: value for name, value in grown.items() if value > least[name]}
