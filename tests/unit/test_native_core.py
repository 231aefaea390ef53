"""The native core: how it is loaded, what becomes of it in children, and tables of it that are none."""

from __future__ import annotations

import random
import re
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest
from agent_drivers import PID, Counts, by_name, profile_of
from call_trees import header
from execd.attach.table import read_table
from execd.attach.text import is_whole, read_core
from execd.errors import ProfileCorrupt

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

TRIES = 3_000
# That of CentOS 7, and of manylinux2014.
OLDEST_GLIBC = (2, 17)
# Where the nodes begin, after JSON and head; most of a small table is before that.
SEED = 20261122


@pytest.fixture
def native(drivers: Drivers) -> Drivers:
    """Drivers of the native form."""
    return drivers.in_form("native")


def test_a_core_is_loaded_once_and_another_one_beside_it(native: Drivers, interpreter: Interpreter) -> None:
    found = native.run(interpreter, "loading_core", "loaded_again")
    assert (found["is_same"], found["is_other"], found["is_nothing"]) == (True, True, True)
    assert found["why"][:2] == ["", ""]
    assert found["why"][2].startswith("the native core cannot be loaded: ")
    assert found["left_open"] == []


def test_a_part_of_a_core_is_not_sent() -> None:
    whole = read_core()
    assert whole is not None
    assert is_whole(whole)
    assert not any(map(is_whole, (b"", whole[:63], whole[:1000], whole[:-1], whole + b"\0", bytes(len(whole)))))


def test_no_function_is_asked_of_a_glibc_newer_than_the_oldest_that_is_served() -> None:
    whole = read_core()
    assert whole is not None
    needed = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", whole)}
    assert needed
    assert max(needed) <= OLDEST_GLIBC


def test_callbacks_that_are_told_too_little_do_nothing(native: Drivers, interpreter: Interpreter) -> None:
    result = native.run(interpreter, "loading_core", "callbacks_of_too_little")
    assert result["said"] == [None] * (2 * (1 + 1 + 4 + 4))
    assert by_name(profile_of(result["table"]))["recurse"].calls == 4


def test_a_child_that_no_handler_knows_of_records_nothing_and_goes_on(
    native: Drivers, interpreter: Interpreter
) -> None:
    result = native.run(interpreter, "loading_core", "child_without_handlers")
    assert result["status"] == 7
    assert by_name(profile_of(result["table"]))["recurse"].calls == 4 + 2


def test_a_thread_that_ends_while_it_is_asked_where_it_is_is_placed_nowhere(
    native: Drivers, interpreter: Interpreter
) -> None:
    threads = 150
    profile = profile_of(native.run(interpreter, "threading_on", "resumed_as_it_ends", threads)["table"])
    assert by_name(profile)["step"] == Counts(1 + 2 * threads, 1 + 2 * threads)
    assert by_name(profile)["part"] == Counts(2 + 4 * threads, 2 + 4 * threads)
    assert by_name(profile).get("never", Counts(0, 0)) == Counts(0, 0)


def test_in_a_child_the_main_thread_is_one_whatever_number_threading_has_of_it(
    native: Drivers, interpreter: Interpreter
) -> None:
    profile = profile_of(native.run(interpreter, "threading_on", "in_child", 3)["table"])
    assert [label.thread_name for label in profile.labels] == ["MainThread"]
    assert by_name(profile)["step"] == Counts(3, 3)


def test_tables_that_are_none_are_refused_and_nothing_else(native: Drivers, local_interpreter: Interpreter) -> None:
    whole = b64decode(native.run(local_interpreter, "calling", "recursion", 20)["table"])
    start = whole.index((0x65726F6364637865).to_bytes(8, "little"))
    choose = random.Random(SEED)  # noqa: S311 - the same ones in every run
    refused = 0
    for _ in range(TRIES):
        changed = bytearray(whole)
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(start, len(whole))
            size = choose.choice((1, 4, 8))
            changed[at : at + size] = choose.choice((b"\0" * size, b"\xff" * size, choose.randbytes(size)))
        try:
            read_table(bytes(changed), header(), PID)
        except ProfileCorrupt:
            refused += 1
    assert 0 < refused < TRIES


@pytest.mark.parametrize("length", [0, 1, 100, 191, 192, 300])
def test_tables_that_are_cut_are_refused(native: Drivers, local_interpreter: Interpreter, length: int) -> None:
    whole = b64decode(native.run(local_interpreter, "calling", "recursion", 20)["table"])
    start = whole.index((0x65726F6364637865).to_bytes(8, "little"))
    # The directory says how long the array is.
    with pytest.raises(ProfileCorrupt):
        read_table(whole[: start + length], header(), PID)
