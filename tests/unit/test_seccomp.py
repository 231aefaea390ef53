"""Filters of seccomp: evaluated with what is known of a call, and judged for all calls of an attach."""

from __future__ import annotations

import itertools

import pytest
from execd.attach import bpf, seccomp
from execd.attach.seccomp import Call, judge, worst_action
from execd.errors import NotSupported
from hypothesis import given
from hypothesis import strategies as st
from targets.filtered import ACTIONS, ALLOW, KILL, RETURN, at, container, instruction, program

LOAD, JUMP_EQUAL, JUMP_GREATER = 0x20, 0x15, 0x25
NUMBER, ARGUMENT = 0, 16
FAIL = 0x50001
ALLOWING = instruction(RETURN, ALLOW)


def outcome(code: bytes, **known: int) -> set[int | None]:
    """What a program may return where these words of a call are known."""
    return bpf.outcomes(code, {{"number": NUMBER, "argument": ARGUMENT}[name]: value for name, value in known.items()})


def test_a_known_number_takes_one_way() -> None:
    code = instruction(LOAD, NUMBER) + at(9, KILL) + ALLOWING
    assert (outcome(code, number=9), outcome(code, number=8)) == ({KILL}, {ALLOW})


def test_an_unknown_argument_takes_both() -> None:
    code = instruction(LOAD, ARGUMENT) + at(9, KILL) + ALLOWING
    assert outcome(code) == {KILL, ALLOW}


def test_what_an_equality_tells_is_known_from_there_on() -> None:
    code = (
        instruction(LOAD, ARGUMENT)
        + instruction(JUMP_EQUAL, 5, 0, 2)
        + instruction(JUMP_GREATER, 4, 1, 0)
        + instruction(RETURN, KILL)
        + ALLOWING
    )
    assert outcome(code) == {ALLOW}


@pytest.mark.parametrize(
    ("code", "operand", "result"),
    [
        (0x04, 3, 15),
        (0x14, 3, 9),
        (0x14, 13, 0xFFFFFFFF),
        (0x24, 1 << 31, 0),
        (0x34, 5, 2),
        (0x44, 1, 13),
        (0x54, 8, 8),
        (0x64, 4, 192),
        (0x74, 2, 3),
        (0xA4, 4, 8),
        (0x84, 0, 0xFFFFFFF4),
    ],
)
def test_arithmetic_is_that_of_words(code: int, operand: int, result: int) -> None:
    steps = instruction(0x00, 12) + instruction(code, operand) + instruction(0x16, 0)
    assert outcome(steps) == {result}


def test_values_go_through_the_index_and_scratch_words() -> None:
    steps = [(LOAD, ARGUMENT), (0x02, 3), (0x01, 7), (0x87, 0), (0x61, 3), (0x0C, 0), (0x07, 0), (0x03, 4), (0x60, 4)]
    code = b"".join(itertools.starmap(instruction, steps)) + instruction(0x16, 0)
    assert outcome(code, argument=30) == {37}
    assert outcome(code) == {None}


@pytest.mark.parametrize("code", [b"", instruction(0x05, 9), instruction(0xE4, 1) + ALLOWING, instruction(0x30, 0)])
def test_what_the_kernel_would_not_have_is_no_filter(code: bytes) -> None:
    with pytest.raises(bpf.NotAFilter):
        outcome(code)


def test_more_ways_than_are_followed_are_no_filter() -> None:
    step = instruction(LOAD, ARGUMENT) + instruction(JUMP_GREATER, 1, 1, 0) + instruction(0x04, 1)
    doubling = b"".join(
        instruction(LOAD, ARGUMENT)
        + instruction(JUMP_GREATER, 1, 3, 0)
        + instruction(0x60, 0)
        + instruction(0x04, 1 << bit)
        + instruction(0x02, 0)
        for bit in range(14)
    )
    with pytest.raises(bpf.NotAFilter):
        outcome(instruction(0x00, 0) + instruction(0x02, 0) + doubling + instruction(0x60, 0) + instruction(0x16, 0))
    assert outcome(step * 20 + ALLOWING) == {ALLOW}


@given(st.binary(max_size=160))
def test_any_bytes_come_to_an_end(data: bytes) -> None:
    whole = data[: len(data) // 8 * 8]
    try:
        assert outcome(whole, number=1)
    except bpf.NotAFilter:
        return


def test_of_several_filters_the_worst_counts() -> None:
    call = Call("read", 0, needed=True)
    fails = instruction(RETURN, FAIL)
    kills = instruction(RETURN, KILL)
    assert worst_action([ALLOWING, fails], call) == FAIL & 0xFFFF0000
    assert worst_action([fails, kills, ALLOWING], call) == KILL
    assert worst_action([instruction(RETURN, 0x12340000), fails], call) == 0x12340000


def test_a_process_whose_filters_let_all_through_is_accepted() -> None:
    judge(1, [])
    judge(1, [ALLOWING, instruction(RETURN, 0x7FFC0000)])


def test_what_containers_have_is_accepted() -> None:
    judge(1, [container()])


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("kill", "kills the process"),
        ("trap", "SIGSYS"),
        ("notify", "user notification"),
        ("trace", "a tracer"),
        ("errno", "makes the call fail"),
    ],
)
def test_a_filter_against_a_call_of_the_chain_is_named_with_the_call(action: str, words: str) -> None:
    assert set(ACTIONS) == {"kill", "trap", "errno", "notify", "trace"}
    with pytest.raises(NotSupported, match=f"{words}.* at memfd_create") as caught:
        judge(1, [program(action, 319)])
    assert "memfd_create" in caught.value.remedy
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(("number", "name"), [(273, "set_robust_list"), (204, "sched_getaffinity"), (28, "madvise")])
def test_what_the_agent_can_do_without_may_fail_and_not_kill(number: int, name: str) -> None:
    judge(1, [program("errno", number)])
    with pytest.raises(NotSupported, match=f"at {name},"):
        judge(1, [program("kill", number)])


@pytest.mark.parametrize(("first", "second", "name"), [(435, 56, "clone"), (262, 5, "fstat")])
def test_of_two_calls_that_do_the_same_one_is_enough(first: int, second: int, name: str) -> None:
    judge(1, [program("errno", first)])
    judge(1, [program("errno", second)])
    with pytest.raises(NotSupported, match=f"at {name},"):
        judge(1, [program("errno", first), program("errno", second)])


def test_a_filter_that_cannot_be_followed_is_taken_for_one_that_kills() -> None:
    with pytest.raises(NotSupported, match="kills the process"):
        judge(1, [instruction(0x05, 9)])


def test_filters_are_readable_by_root_of_the_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"status": "Seccomp:\t0\nCapEff:\t000001fffeffffff\n", "uid_map": "0 0 4294967295\n"}
    monkeypatch.setattr(seccomp.Path, "read_text", lambda path: files[path.name])
    assert seccomp.may_read()
    for name, text in (
        ("status", "Seccomp:\t2\nCapEff:\t000001fffeffffff\n"),
        ("status", "Seccomp:\t0\nCapEff:\t0000000000000000\n"),
        ("uid_map", "0 1000 1\n"),
    ):
        kept, files[name] = files[name], text
        assert not seccomp.may_read()
        files[name] = kept
