"""Signals that came while the main thread was lent: they must end the call that it waits in, as they would without us.

The steps of a chain run with every signal blocked, and a signal that comes meanwhile is taken before the interrupted
call is run again. Its Python handler would then run at the end of that call, which may be never: Ctrl-C would seem to
do nothing. So a call that goes on although a signal waits for its handler is ended with EINTR, which that signal would
have done; CPython runs the handler then and makes the call again (PEP 475).
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

from execd.attach import process, waiting, x86_64
from execd.attach.layout import SIGNALS_PENDING, SIGNALS_PENDING_BIT
from execd.errors import AttachBusy, ExecdError

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter, ThreadState
    from execd.attach.stopped import Stopper

_SIGNALS = re.compile(rb"^(SigPnd|ShdPnd|SigBlk):\t([0-9a-f]+)$", re.MULTILINE)
# The rest of a borrowed thread's text, which may have to wait for the GIL.
_CHAIN_END_S = 0.2
_POLL_S = 100e-6


def hand_on(stopper: Stopper, found: Interpreter) -> None:
    """End the main thread's call where a signal came too late for it because of a chain. What cannot be done is left.

    Args:
        stopper: of the target; knows what has been lent.
        found: its CPython.
    """
    mask = stopper.lent.get(stopper.pid)
    deadline = time.monotonic() + _CHAIN_END_S
    with contextlib.suppress(ExecdError, ProcessLookupError):
        while mask is not None and time.monotonic() < deadline:
            if _is_itself(stopper.pid, mask):
                if not waits(found, found.thread_states()):
                    return
                with contextlib.suppress(AttachBusy):
                    _end_call(stopper, found)
            time.sleep(_POLL_S)


def waits(found: Interpreter, states: list[ThreadState]) -> bool:
    """Whether a signal has been taken whose Python handler has not been called yet. Only the main thread does that."""
    place = SIGNALS_PENDING.get(found.layout.version)
    if place is not None:
        return found.memory.read_u32(found.runtime + place) == 1
    # A bit of the main thread's alone, wherever that stands among the others.
    breakers = (state.address + found.layout.eval_breaker for state in states)
    return any(found.memory.read_u32(breaker) & SIGNALS_PENDING_BIT for breaker in breakers)


def _is_itself(tid: int, mask: int) -> bool:
    """Whether a chain is over, and no signal is left that came meanwhile: neither on its way nor in its C handler.

    The chain's last frame puts the thread's own mask back; a handler runs with its signal blocked.
    """
    fields = dict(_SIGNALS.findall(process.read_file(f"/proc/{tid}/status")))
    pending, shared, blocked = (int(fields.get(name, b"0"), 16) for name in (b"SigPnd", b"ShdPnd", b"SigBlk"))
    return blocked == mask and not (pending | shared) & ~mask


def _end_call(stopper: Stopper, found: Interpreter) -> None:
    """End the call that the main thread waits in; one that runs bytecode, or will, finds the signal by itself."""
    main = stopper.pid
    if waiting.call_number(main, main) is None:
        return
    states = found.thread_states()
    with stopper.one(main):
        registers = stopper.registers(main)
        number, gil = registers.system_call, found.gil()
        holds_gil = any(s.address == gil.holder and s.thread_id == registers["fs_base"] for s in states)
        if number is None or holds_gil or not waits(found, states):
            return
        if x86_64.may_be_lent(number, registers["rsi"], is_gil=gil.contains(registers["rdi"])):
            stopper.ptrace.set_registers(main, registers.interrupted().pack())
