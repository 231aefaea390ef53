"""Registers, and the chain of signal frames that makes a thread run steps and go on as it was."""

from __future__ import annotations

import itertools
import struct
from typing import NamedTuple

import pytest
from execd.attach import x86_64
from execd.attach.x86_64 import Gadgets, Registers, Step, may_be_lent
from hypothesis import given
from hypothesis import strategies as st

GADGETS = Gadgets(trampoline=0x7F0000001000, system_call=0x7F0000002000)
NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
# What rt_sigreturn reads of a frame (arch/x86/include/uapi/asm/sigcontext.h), in its order after 40 bytes of ucontext.
IN_FRAME = (
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx"),
    *("rsp", "rip", "eflags"),
)
SIGNED = 1 << 64
RESTARTS = {"ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ERESTART_RESTARTBLOCK": 516}
EINTR = 4
RED_ZONE = 128
KEPT_SIGNALS = (32, 33)
STATE = bytes(range(64)) * 16
INFINITE = 0xFFFFFFFF

words = st.integers(0, SIGNED - 1)
steps_to_run = st.lists(
    st.builds(Step, words, st.lists(words, max_size=6).map(tuple), st.none() | st.integers(0, 450)),
    min_size=1,
    max_size=6,
)


def some_registers(**changes: int) -> Registers:
    values = {name: 0x1000 + index for index, name in enumerate(NAMES)}
    usual = {"rsp": 0x7FFC00001238, "cs": 0x33, "ss": 0x2B, "eflags": 0x246, "orig_rax": SIGNED - 1}
    return Registers({**values, **usual, **changes})


class Frame(NamedTuple):
    """A signal frame as the kernel reads it."""

    registers: dict[str, int]
    code_segment: int
    stack_segment: int
    fp_state: int
    mask: int


def frame_at(chain: x86_64.Chain, address: int) -> Frame:
    data = chain.block[address - chain.address :]
    registers = dict(zip(IN_FRAME, struct.unpack_from("<18Q", data, 40), strict=True))
    segments = struct.unpack_from("<4H", data, 40 + 144)
    (fp_state,), (mask,) = struct.unpack_from("<Q", data, 224), struct.unpack_from("<Q", data, 296)
    return Frame(registers, segments[0], segments[3], fp_state, mask)


def walk(chain: x86_64.Chain, steps: int) -> list[Frame]:
    """Return the frames as rt_sigreturn comes upon them; each step must return to the trampoline."""
    found = []
    address = chain.start["rsp"]
    for _ in range(steps):
        frame = frame_at(chain, address)
        found.append(frame)
        stack = frame.registers["rsp"]
        (back,) = struct.unpack_from("<Q", chain.block, stack - chain.address)
        assert back == GADGETS.trampoline
        address = stack + 8
    return [*found, frame_at(chain, address)]


def build(registers: Registers, steps: list[Step], text: bytes = b"") -> tuple[x86_64.Chain, int]:
    return x86_64.build_chain(registers, STATE, 0b1010, steps, GADGETS, text)


@given(st.dictionaries(st.sampled_from(NAMES), words))
def test_registers_come_back_as_they_were(changes: dict[str, int]) -> None:
    packed = struct.pack("<27Q", *({**dict.fromkeys(NAMES, 7), **changes}[name] for name in NAMES))
    registers = Registers.unpack(packed)
    assert registers.pack() == packed
    assert registers["rip"] == changes.get("rip", 7)


@given(st.integers(1 << 20, (1 << 47) - 1), steps_to_run, st.binary(max_size=300), st.integers(0, 9000))
def test_every_chain_lies_below_the_red_zone_and_enters_its_steps_aligned(
    stack: int, steps: list[Step], text: bytes, state_size: int
) -> None:
    state = bytes(576 + state_size - state_size % 64)
    chain, text_address = x86_64.build_chain(some_registers(rsp=stack), state, 0, steps, GADGETS, text)
    assert chain.address + len(chain.block) <= stack - RED_ZONE
    assert text_address + len(text) <= stack - RED_ZONE
    assert chain.address <= text_address
    frames = walk(chain, len(steps))
    assert all(frame.registers["rsp"] % 16 == 8 for frame in frames[:-1])
    assert all(chain.address <= frame.registers["rsp"] < stack - RED_ZONE for frame in frames[:-1])


@given(steps_to_run)
def test_no_frame_lies_upon_another_or_upon_the_state(steps: list[Step]) -> None:
    chain, text_address = build(some_registers(), steps, b"text")
    places = [(chain.start["rsp"], 304)]
    frames = walk(chain, len(steps))
    for frame in frames[:-1]:
        places += [(frame.registers["rsp"], 8), (frame.registers["rsp"] + 8, 304)]
    places += [(frames[-1].fp_state, len(STATE) + 4), (text_address, 4)]
    ordered = sorted(places)
    assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(ordered))


@given(steps_to_run)
def test_a_step_is_entered_with_its_arguments_and_every_signal_blocked(steps: list[Step]) -> None:
    chain, _ = build(some_registers(), steps)
    for frame, step in zip(walk(chain, len(steps))[:-1], steps, strict=True):
        names = ("rdi", "rsi", "rdx", "rcx" if step.system_call is None else "r10", "r8", "r9")
        given_in = dict(zip(names, step.arguments, strict=False))
        assert frame.registers["rip"] == step.function
        assert {name: frame.registers[name] for name in given_in} == given_in
        assert frame.registers["rax"] == (step.system_call or 0)
        assert frame.mask == (SIGNED - 1) & ~sum(1 << (number - 1) for number in KEPT_SIGNALS)
        # The direction flag and the trap flag are off, as the ABI has it at a function's entry.
        assert frame.registers["eflags"] & 0x500 == 0


def test_text_is_where_the_argument_that_stands_for_it_points() -> None:
    steps = [Step(0x1234, (x86_64.TEXT, 5)), x86_64.system_call(GADGETS, x86_64.MEMFD_CREATE, x86_64.TEXT, 1)]
    chain, address = build(some_registers(), steps, b"execd:0:1\0")
    assert chain.block[address - chain.address :].startswith(b"execd:0:1\0")
    assert [frame.registers["rdi"] for frame in walk(chain, 2)[:-1]] == [address, address]


@given(st.dictionaries(st.sampled_from([name for name in IN_FRAME if name not in ("rsp", "eflags")]), words), words)
def test_the_last_frame_holds_every_register_and_the_mask_as_they_were(changes: dict[str, int], mask: int) -> None:
    registers = some_registers(**changes)
    chain, _ = x86_64.build_chain(registers, STATE, mask, [Step(1, ())], GADGETS)
    last = walk(chain, 1)[-1]
    assert last.registers == {name: registers.resumed()[name] for name in IN_FRAME}
    assert (last.code_segment, last.stack_segment) == (registers["cs"], registers["ss"])
    assert last.mask == mask


def test_the_last_frame_alone_holds_the_state_of_the_floating_point_unit() -> None:
    chain, _ = build(some_registers(), [Step(1, ()), Step(2, ())])
    *steps, last = walk(chain, 2)
    assert [frame.fp_state for frame in steps] == [0, 0]
    assert last.fp_state % 64 == 0
    state = chain.block[last.fp_state - chain.address :]
    assert state[:464] == STATE[:464]
    assert state[512 : len(STATE)] == STATE[512:]


def test_the_state_announces_its_size_and_its_features_and_has_an_end_mark() -> None:
    chain, _ = build(some_registers(), [Step(1, ())])
    state = chain.block[walk(chain, 1)[-1].fp_state - chain.address :]
    (features,) = struct.unpack_from("<Q", STATE, 464)
    assert struct.unpack_from("<IIQI", state, 464) == (0x46505853, len(STATE) + 4, features, len(STATE))
    assert struct.unpack_from("<I", state, len(STATE)) == (0x46505845,)


def test_one_set_of_registers_starts_the_chain_and_no_call_is_restarted_before_it() -> None:
    registers = some_registers(orig_rax=7, rax=SIGNED - 512)
    chain, _ = build(registers, [Step(1, ())])
    assert chain.start["rip"] == GADGETS.trampoline
    assert chain.start["rsp"] == chain.address
    assert chain.start["orig_rax"] == SIGNED - 1
    changed = {"rip", "rsp", "orig_rax"}
    assert {name: chain.start[name] for name in NAMES if name not in changed} == {
        name: registers[name] for name in NAMES if name not in changed
    }


@pytest.mark.parametrize("code", RESTARTS.values(), ids=RESTARTS)
@pytest.mark.parametrize("call", [0, 7, 35, 202, 230, 232])
def test_a_call_that_the_kernel_would_run_again_is_run_again(code: int, call: int) -> None:
    registers = some_registers(orig_rax=call, rax=SIGNED - code, rip=0x5002)
    assert registers.system_call == call
    assert registers.resumed().values == registers.but(rip=0x5000, rax=call).values


@pytest.mark.parametrize("call", [0, 7, 35, 202])
def test_a_call_that_returned_eintr_returns_it(call: int) -> None:
    registers = some_registers(orig_rax=call, rax=SIGNED - EINTR, rip=0x5002)
    assert registers.resumed() == registers


@pytest.mark.parametrize("call", [232, 281])
def test_epoll_without_a_time_limit_is_run_again(call: int) -> None:
    registers = some_registers(orig_rax=call, rax=SIGNED - EINTR, rip=0x5002, r10=SIGNED - 1)
    assert registers.resumed().values == registers.but(rip=0x5000, rax=call).values
    assert registers.but(r10=INFINITE).resumed()["rip"] == 0x5000


@pytest.mark.parametrize("timeout_ms", [0, 1, 1000, 0x7FFFFFFF])
@pytest.mark.parametrize("call", [232, 281])
def test_epoll_with_a_time_limit_returns_eintr_as_after_every_stop(call: int, timeout_ms: int) -> None:
    registers = some_registers(orig_rax=call, rax=SIGNED - EINTR, rip=0x5002, r10=timeout_ms)
    assert registers.resumed() == registers


def test_epoll_pwait2_waits_for_ever_without_a_timespec_alone() -> None:
    registers = some_registers(orig_rax=441, rax=SIGNED - EINTR, rip=0x5002, r10=0)
    assert registers.resumed()["rip"] == 0x5000
    assert registers.but(r10=0x7FFC00000000).resumed()["rip"] == 0x5002


@pytest.mark.parametrize("result", [0, 1, SIGNED - 11, SIGNED - 515, SIGNED - 517])
def test_a_call_that_is_over_is_not_run_again(result: int) -> None:
    registers = some_registers(orig_rax=0, rax=result, rip=0x5002)
    assert registers.system_call is None
    assert registers.resumed() == registers


def test_a_thread_outside_of_a_call_has_none() -> None:
    registers = some_registers(orig_rax=SIGNED - 1, rax=SIGNED - 512)
    assert registers.system_call is None
    assert registers.resumed() == registers


FUTEX, RESTART, POINTER = 202, 219, 0x7FFC00000000
LENT = {
    "a semaphore or condition": (FUTEX, 9, True),
    "a private one": (FUTEX, 9 | 128, True),
    "one with a clock": (FUTEX, 9 | 256, True),
    "malloc's lock": (FUTEX, 0, False),
    "malloc's private lock": (FUTEX, 128, False),
    "a wake": (FUTEX, 1, False),
    "a lock with priorities": (FUTEX, 6, False),
    "a poll": (7, 0, True),
    "a read": (0, 0, True),
    "a write": (1, 0, False),
    "a poll after a stop": (RESTART, 2, True),
    "a condition after a stop": (RESTART, 9 | 128, True),
    "malloc's lock after a stop": (RESTART, 128, False),
}


@pytest.mark.parametrize("what", LENT)
def test_a_thread_is_lent_while_it_waits_without_a_lock_of_the_c_library(what: str) -> None:
    call, second, may_be = LENT[what]
    assert may_be_lent(call, second, is_gil=False) is may_be


@pytest.mark.parametrize("what", [what for what in LENT if LENT[what][0] in (FUTEX, RESTART)])
def test_a_thread_that_waits_for_the_gil_is_never_lent(what: str) -> None:
    call, second, _ = LENT[what]
    assert not may_be_lent(call, second, is_gil=True)


SLEEPS = {
    "poll(fds, 1, -1)": (POINTER, 1, False),
    "futex(lock, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG)": (POINTER, 137, False),
    "nanosleep(time, NULL)": (POINTER, 0, True),
    "nanosleep(time, rest)": (POINTER, POINTER + 16, True),
    "clock_nanosleep(CLOCK_REALTIME, 0, time)": (0, 0, True),
    "clock_nanosleep(CLOCK_MONOTONIC, 0, time)": (1, 0, True),
}


@pytest.mark.parametrize("what", SLEEPS)
def test_of_calls_that_went_on_after_a_stop_sleeps_are_told_apart(what: str) -> None:
    first, second, is_sleep = SLEEPS[what]
    registers = some_registers(orig_rax=RESTART, rax=SIGNED - 516, rdi=first, rsi=second)
    assert registers.sleeps_on is is_sleep
    assert not registers.but(orig_rax=7).sleeps_on


def test_a_call_that_went_on_after_a_stop_is_interrupted() -> None:
    registers = some_registers(orig_rax=RESTART, rax=SIGNED - 516, rip=0x5002, rdi=POINTER, rsi=1)
    resumed = registers.resumed()
    assert (resumed["rip"], resumed["rax"], resumed.system_call) == (0x5002, SIGNED - EINTR, None)


WENT_ON = {
    "a private wait by CLOCK_MONOTONIC": (POINTER, 0x89, SIGNED - 1, POINTER, True),
    "a shared wait by CLOCK_REALTIME": (POINTER, 0x109, 0xFFFFFFFF, POINTER, True),
    "a private wait by CLOCK_REALTIME": (POINTER, 0x189, 0xFFFFFFFF, POINTER, True),
    "a poll of as many descriptors": (POINTER, 0x89, 0, POINTER, False),
    "a poll whose registers have no time": (POINTER, 0x89, 0xFFFFFFFF, 0, False),
    "a poll of a list that no lock lies at": (POINTER + 2, 0x89, 0xFFFFFFFF, POINTER, False),
    "a poll of other descriptors": (POINTER, 0x88, 0xFFFFFFFF, POINTER, False),
}


@pytest.mark.parametrize("what", WENT_ON)
def test_a_futex_wait_that_went_on_after_a_stop_is_made_anew(what: str) -> None:
    first, second, sixth, fourth, is_futex = WENT_ON[what]
    registers = some_registers(orig_rax=RESTART, rax=SIGNED - 516, rip=0x5002, rdi=first, rsi=second)
    resumed = registers.but(r9=sixth, r10=fourth).resumed()
    assert (resumed["rip"], resumed["rax"]) == ((0x5000, FUTEX) if is_futex else (0x5002, SIGNED - EINTR))


@pytest.mark.parametrize(("segment", "is_64_bit"), [(0x33, True), (0x23, False), (0x10, False)])
def test_32_bit_code_is_told_apart(segment: int, is_64_bit: bool) -> None:  # noqa: FBT001 - a column of the table
    assert some_registers(cs=segment).is_64_bit is is_64_bit


def test_a_signal_mask_of_a_step_lets_through_what_the_c_library_needs() -> None:
    """With them glibc reaches every thread with these in pthread_cancel and setuid."""
    chain, _ = build(some_registers(), [Step(1, ())])
    mask = walk(chain, 1)[0].mask
    assert all(not mask & 1 << (number - 1) for number in KEPT_SIGNALS)
    assert mask | sum(1 << (number - 1) for number in KEPT_SIGNALS) == SIGNED - 1
