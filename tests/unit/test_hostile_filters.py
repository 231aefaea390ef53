"""Filters that an evaluator could take for harmless, held against what the kernel does under them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from execd.attach import bpf

ALLOW, KILL_THREAD = 0x7FFF0000, 0
LOAD_X, DIVIDE_BY_X, DIVIDE_BY_2, RETURN = 0x01, 0x3C, 0x34, 0x06

FILTERED = """
import ctypes, os, sys
program = bytes.fromhex(sys.argv[1])
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(program) // 8, program))) == 0, os.strerror(ctypes.get_errno())
os._exit(0)
"""

PROGRAMS = {
    "divides by X, which is 0": ([(LOAD_X, 0, 0, 0), (DIVIDE_BY_X, 0, 0, 0), (RETURN, 0, 0, ALLOW)], KILL_THREAD),
    "divides by X, which is 1": ([(LOAD_X, 0, 0, 1), (DIVIDE_BY_X, 0, 0, 0), (RETURN, 0, 0, ALLOW)], ALLOW),
    "divides by 2": ([(DIVIDE_BY_2, 0, 0, 2), (RETURN, 0, 0, ALLOW)], ALLOW),
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_filter_comes_to_what_the_kernel_makes_of_it(what: str) -> None:
    rows, action = PROGRAMS[what]
    program = b"".join(bpf.INSTRUCTION.pack(*row) for row in rows)
    assert bpf.outcomes(program, {}) == {action}
    code = subprocess.run([sys.executable, "-c", FILTERED, program.hex()], check=False, env=dict(os.environ)).returncode
    assert code == (0 if action == ALLOW else -signal.SIGSYS)


def test_a_division_by_what_is_not_known_may_end_the_process() -> None:
    """X is the first argument of the call."""
    rows = [(0x20, 0, 0, 16), (0x07, 0, 0, 0), (DIVIDE_BY_X, 0, 0, 0), (RETURN, 0, 0, ALLOW)]
    program = b"".join(bpf.INSTRUCTION.pack(*row) for row in rows)
    assert bpf.outcomes(program, {}) == {ALLOW, KILL_THREAD}
    assert bpf.outcomes(program, {16: 3}) == {ALLOW}
    assert bpf.outcomes(program, {16: 0}) == {KILL_THREAD}
