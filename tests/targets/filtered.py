"""Like `reading`, under a seccomp filter. The first argument says what the filter does, the second to which call.

    allow               permits everything
    container           what containers have: what is not on the list fails with EPERM, clone3 with ENOSYS
    kill, trap, errno, notify, trace NUMBER    that, at this system call of x86_64; all others are permitted
    strict              no filter, but the first form of seccomp: read, write, exit and sigreturn, or death

Known: "count" answers how many commands were read, this one among them; "state" what this process holds. Under `strict`
it can answer nothing, and lives as long as it is left alone.
"""

import ctypes
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

# From linux/prctl.h, linux/seccomp.h, linux/audit.h and linux/bpf_common.h.
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_STRICT = 1
SECCOMP_MODE_FILTER = 2
AUDIT_ARCH_X86_64 = 0xC000003E
LOAD, JUMP_EQUAL, JUMP_NOT_LESS, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 1, 38
ACTIONS = {"kill": KILL, "trap": 0x30000, "errno": 0x50000 | EPERM, "notify": 0x7FC00000, "trace": 0x7FF00000}

# What containers do not have: modules, mounts, clocks, keys, tracing of the kernel, namespaces.
DENIED = {134, 136, 139, 153, 155, 156, *range(163, 170), *range(172, 181), 212, 227, *range(237, 240), 246}
DENIED |= {*range(248, 251), 272, 279, 298, 304, 305, 308, 312, 313, 320, 321, 323}
CLONE, CLONE3, LAST_OF_TABLE = 56, 435, 334
NAMESPACE_FLAGS = 0x7E020000


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.c_char_p))


def instruction(code, operand, if_true=0, if_false=0):
    """One struct sock_filter."""
    return struct.pack("<HBBI", code, if_true, if_false, operand)


def at(number, action):
    """Two instructions: an action for one system call."""
    return instruction(JUMP_EQUAL, number, 0, 1) + instruction(RETURN, action)


def container():
    """A list of what is permitted, in the form in which libseccomp writes them."""
    allowed = set(range(LAST_OF_TABLE + 1)) - DENIED - {CLONE}
    return b"".join(
        [
            instruction(LOAD, ARCHITECTURE),
            instruction(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
            instruction(RETURN, KILL),
            instruction(LOAD, NUMBER),
            instruction(JUMP_NOT_LESS, 0x40000000, 0, 1),
            instruction(RETURN, KILL),
            at(CLONE3, 0x50000 | ENOSYS),
            *(at(number, ALLOW) for number in sorted(allowed)),
            instruction(JUMP_EQUAL, CLONE, 0, 3),
            instruction(LOAD, FIRST_ARGUMENT),
            instruction(JUMP_ANY_BIT, NAMESPACE_FLAGS, 1, 0),
            instruction(RETURN, ALLOW),
            instruction(RETURN, 0x50000 | EPERM),
        ]
    )


def program(kind, number):
    """The filter that the arguments ask for."""
    if kind == "container":
        return container()
    if kind == "allow":
        return instruction(RETURN, ALLOW)
    return instruction(LOAD, NUMBER) + at(number, ACTIONS[kind]) + instruction(RETURN, ALLOW)


def install(kind, number):
    """Filters this thread and all that it starts from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if kind == "strict":
        failed = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0)
    else:
        code = program(kind, number)
        filter_program = Program(len(code) // 8, code)
        failed = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_program), 0, 0
        )
    if failed:
        raise OSError(ctypes.get_errno(), "prctl")


def main():
    """Ends with stdin."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "allow"
    reads = []
    install(kind, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    line_protocol.ready()
    for command in line_protocol.commands():
        reads.append(command)
        line_protocol.answer(command, {"count": lambda: len(reads), "state": line_protocol.state})


if __name__ == "__main__":
    main()
