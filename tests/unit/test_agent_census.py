"""The census collector under every interpreter: a program that knows its own objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter


@pytest.fixture(scope="module")
def answer(drivers: Drivers, interpreter: Interpreter) -> Any:
    return drivers.run(interpreter, "counting_objects", "known")


def test_all_objects_of_a_type_are_counted_once(answer: Any) -> None:
    assert answer["plain"] == [2000, 2000 * answer["size"]]
    assert answer["one"] == answer["size"]
    assert answer["twice"] == 0


def test_objects_that_the_garbage_collector_does_not_know_are_counted(answer: Any) -> None:
    assert answer["ints"]


def test_a_size_that_the_program_works_out_is_not_asked_for(answer: Any) -> None:
    assert answer["items"] == [1000, 1000 * answer["basic"]]
    assert answer["asked"] == 0


def test_a_type_that_is_no_key_is_counted_and_nothing_of_it_called(answer: Any) -> None:
    assert answer["strange"] == [10, 10, 0]


def test_objects_that_one_container_refers_to_are_told_apart_without_memory(answer: Any) -> None:
    assert answer["loose"] == [3, 3_000, 3_000, True]


def test_who_refers_to_a_type_is_counted_among_all(answer: Any) -> None:
    (lists,), kept = answer["referring"]
    # The list of the ten that live all the time refers to them too.
    assert lists == kept + 1


def test_a_census_that_would_take_more_memory_than_it_may_is_refused_and_says_what_would_do(answer: Any) -> None:
    assert "allow it by --max-memory" in answer["over_the_limit"]


def test_nothing_is_left_to_the_garbage_collector(answer: Any) -> None:
    assert answer["garbage"] == 0


def test_a_census_of_a_program_that_traces_its_memory_takes_longer_and_is_asked_for(answer: Any) -> None:
    assert answer["consent"] == [False, True]
