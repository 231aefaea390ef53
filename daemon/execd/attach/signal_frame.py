"""What the kernel writes of the FP state into a signal frame on this processor: learnt from a signal to ourselves.

A processor may have state that a process gets only on request (AMX): ptrace tells of it always, a signal frame does
not, and rt_sigreturn of one that claims more restores the first 512 bytes alone (arch/x86/kernel/fpu/signal.c).
"""

from __future__ import annotations

import ctypes
import signal
import struct

from execd.attach.x86_64 import SignalFrame

# struct ucontext: the pointer to the FP state follows 184 bytes of struct sigcontext, which begins at 40.
_FP_STATE_POINTER = 224
# struct _fpx_sw_bytes in it: magic1, extended_size, xfeatures, xstate_size.
_SOFTWARE_BYTES = 464
_SOFTWARE = struct.Struct("<IIQI")
_MAGIC1 = 0x46505853
_SA_SIGINFO = 4


class _Action(ctypes.Structure):
    """struct sigaction of glibc."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint64 * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def own_signal_frame() -> SignalFrame | None:
    """Return what a frame of this process holds, None where the kernel writes no extended state."""
    found: list[SignalFrame] = []

    def handle(_number: int, _facts: int, context: int) -> None:
        state = ctypes.c_uint64.from_address(context + _FP_STATE_POINTER).value
        magic1, _, features, size = _SOFTWARE.unpack(ctypes.string_at(state + _SOFTWARE_BYTES, _SOFTWARE.size))
        if magic1 == _MAGIC1:
            found.append(SignalFrame(size, features))

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64)(handle)
    libc = ctypes.CDLL(None, use_errno=True)
    ours, before = _Action(flags=_SA_SIGINFO), _Action()
    ours.handler = ctypes.cast(handler, ctypes.c_void_p)
    libc.sigaction(signal.SIGURG, ctypes.byref(ours), ctypes.byref(before))
    # Within the call the handler runs, at once and in this thread.
    getattr(libc, "raise")(signal.SIGURG)
    libc.sigaction(signal.SIGURG, ctypes.byref(before), None)
    return found[0] if found else None
