"""Like `reading`, under a seccomp filter that permits everything: whoever looks sees a filter, and nothing else.

Known: "count" answers how many commands were read, this one among them; "state" what this process holds.
"""

import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

# From linux/prctl.h, linux/seccomp.h and linux/bpf_common.h.
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
BPF_RET = 0x06
SECCOMP_RET_ALLOW = 0x7FFF0000


class Instruction(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction)))


def install_filter():
    """One instruction: allow."""
    libc = ctypes.CDLL(None, use_errno=True)
    instruction = Instruction(BPF_RET, 0, 0, SECCOMP_RET_ALLOW)
    program = Filter(1, ctypes.pointer(instruction))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "prctl")


def main():
    """Ends with stdin."""
    install_filter()
    reads = []
    line_protocol.ready()
    for command in line_protocol.commands():
        reads.append(command)
        line_protocol.answer(command, {"count": lambda: len(reads), "state": line_protocol.state})


if __name__ == "__main__":
    main()
