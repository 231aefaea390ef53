"""The remote debugger fields of PEP 768 (3.14+), written by us: any minor version, no file, no lost race.

sys.remote_exec would need our own minor version to be the target's, and changes eval_breaker of a running process.
The script is a memfd of the target, named by /proc/self/fd/N.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.attach.layout import PLEASE_STOP_BIT
from execd.errors import AttachBusy, NotPermitted, NotSupported

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter, ThreadState
    from execd.attach.layout import DebuggerSupport


def queue(found: Interpreter, state: ThreadState, script_path: str) -> None:
    """Ask a thread to run a script at its next safe point. All threads must be stopped.

    Raises:
        AttachBusy: another tool's script is pending there.
        NotPermitted: remote debugging is switched off.
    """
    support = _support(found)
    memory = found.memory
    if memory.read_u32(found.main + support.enabled_in_interpreter) != 1:
        raise NotPermitted(
            "remote debugging is disabled in the target",
            remedy="start it without PYTHON_DISABLE_REMOTE_DEBUG and without -X disable-remote-debug",
        )
    if memory.read_u32(state.address + support.pending_call):
        raise AttachBusy("another debugger's script is pending in the target", remedy="try again when it has run")
    path = script_path.encode() + b"\0"
    memory.write(state.address + support.script_path, path)
    memory.write_u32(state.address + support.pending_call, 1)
    wake(found, state)


def is_queued(found: Interpreter, state: ThreadState) -> bool:
    """Return whether the script still waits. Reads only; the target may run meanwhile."""
    return found.memory.read_u32(state.address + _support(found).pending_call) != 0


def wake(found: Interpreter, state: ThreadState) -> None:
    """Make the thread look at its pending script. All threads must be stopped."""
    address = state.address + found.layout.eval_breaker
    found.memory.write_u64(address, found.memory.read_u64(address) | PLEASE_STOP_BIT)


def cancel(found: Interpreter, state: ThreadState, script_path: str) -> bool:
    """Take the script out again if it has not run. All threads must be stopped. Returns False where it has run."""
    support = _support(found)
    path = script_path.encode() + b"\0"
    memory = found.memory
    pending = memory.read_u32(state.address + support.pending_call)
    if not pending or memory.read(state.address + support.script_path, len(path)) != path:
        return False
    memory.write_u32(state.address + support.pending_call, 0)
    memory.write(state.address + support.script_path, bytes(len(path)))
    return True


def _support(found: Interpreter) -> DebuggerSupport:
    if found.layout.debugger is None:
        raise NotSupported("this version has no remote debugger fields")
    return found.layout.debugger
