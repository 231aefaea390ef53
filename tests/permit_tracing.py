"""Runs a command that any process of the same user may trace: python permit_tracing.py COMMAND [ARGUMENT...].

Under yama's ptrace_scope 1 only ancestors may trace; the permission that is given here outlives exec, and
the PID stays the same.
"""

from __future__ import annotations

import ctypes
import os
import sys

# From linux/prctl.h.
PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


def permit_tracing() -> None:
    """Permits it for this process; without yama the call fails with EINVAL and nothing needs a permit."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)


if __name__ == "__main__":
    permit_tracing()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 -- starting the command is the whole purpose
