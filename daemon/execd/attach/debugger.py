"""The remote debugger fields of PEP 768 (3.14+), written by us: any minor version, no file, no lost race.

sys.remote_exec would need our own minor version to be the target's, and changes eval_breaker of a running process.
The script is a memfd of the target, named by /proc/self/fd/N.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.attach.layout import PLEASE_STOP_BIT
from execd.errors import AttachBusy, NotPermitted, NotSupported

if TYPE_CHECKING:
    from execd.attach.interpreter import Interpreter, ThreadState
    from execd.attach.layout import DebuggerSupport


@dataclass(frozen=True, slots=True)
class Request:
    """A script that a thread is asked to run, and what its fields held before.

    Attributes:
        state: the thread's.
        path: of the script, as it lies in the field.
        before: the bytes that lay there.
        flag_is_ours: whether we set the bit of eval_breaker, and nobody before.
    """

    state: ThreadState
    path: bytes
    before: bytes
    flag_is_ours: bool


def queue(found: Interpreter, state: ThreadState, script_path: str) -> Request:
    """Ask a thread to run a script at its next safe point. All threads must be stopped.

    Raises:
        AttachBusy: another tool's script is pending there.
        NotPermitted: remote debugging is switched off.
    """
    support = _support(found)
    memory = found.memory
    require_enabled(found)
    if memory.read_u32(state.address + support.pending_call):
        raise AttachBusy("another debugger's script is pending in the target", remedy="try again when it has run")
    return _written(found, state, script_path.encode() + b"\0")


def require_enabled(found: Interpreter) -> None:
    """Raise NotPermitted where the target has switched remote debugging off, which it can from 3.14."""
    support = found.layout.debugger
    if support is not None and found.memory.read_u32(found.main + support.enabled_in_interpreter) != 1:
        raise NotPermitted(
            "remote debugging is disabled in the target",
            remedy="start it without PYTHON_DISABLE_REMOTE_DEBUG and without -X disable-remote-debug",
        )


def is_queued(found: Interpreter, request: Request) -> bool:
    """Return whether the script still waits, or another was written over it. Reads only; the target may run meanwhile.

    The interpreter leaves the path of a script that it has taken up where it is.
    """
    return _is_pending(found, request) or not _is_in_place(found, request)


def is_awake(found: Interpreter, request: Request) -> bool:
    """Return whether the script is there, and the thread has been told to look at it. Reads only."""
    flag = found.memory.read_u32(request.state.address + found.layout.eval_breaker)
    return bool(flag & PLEASE_STOP_BIT) and not _is_lost(found, request)


def wake(found: Interpreter, request: Request) -> Request:
    """Make the thread look at its script again. All threads must be stopped. Returns the request as it is now.

    A script that was lost to another is queued anew; launch.py does nothing where it has run already.
    """
    if _is_lost(found, request):
        return _written(found, request.state, request.path)
    return replace(request, flag_is_ours=_set_flag(found, request.state) or request.flag_is_ours)


def cancel(found: Interpreter, request: Request) -> bool:
    """Take the script out again if it has not run. All threads must be stopped. Returns False where it has run."""
    support, memory, state = _support(found), found.memory, request.state
    if not _is_pending(found, request) or not _is_in_place(found, request):
        return False
    memory.write_u32(state.address + support.pending_call, 0)
    memory.write(state.address + support.script_path, request.before)
    if request.flag_is_ours:
        flag = state.address + found.layout.eval_breaker
        memory.write_u64(flag, memory.read_u64(flag) & ~PLEASE_STOP_BIT)
    return True


def _written(found: Interpreter, state: ThreadState, path: bytes) -> Request:
    """Write a request into fields that are free."""
    support, memory = _support(found), found.memory
    before = memory.read(state.address + support.script_path, len(path))
    memory.write(state.address + support.script_path, path)
    memory.write_u32(state.address + support.pending_call, 1)
    return Request(state, path, before, _set_flag(found, state))


def _is_pending(found: Interpreter, request: Request) -> bool:
    return found.memory.read_u32(request.state.address + _support(found).pending_call) != 0


def _is_in_place(found: Interpreter, request: Request) -> bool:
    place = request.state.address + _support(found).script_path
    return found.memory.read(place, len(request.path)) == request.path


def _is_lost(found: Interpreter, request: Request) -> bool:
    """Whether another tool's script was written over ours, and has run."""
    return not _is_in_place(found, request) and not _is_pending(found, request)


def _set_flag(found: Interpreter, state: ThreadState) -> bool:
    """Set the bit of eval_breaker. Returns whether it was not."""
    flag = state.address + found.layout.eval_breaker
    before = found.memory.read_u64(flag)
    found.memory.write_u64(flag, before | PLEASE_STOP_BIT)
    return not before & PLEASE_STOP_BIT


def _support(found: Interpreter) -> DebuggerSupport:
    if found.layout.debugger is None:
        raise NotSupported("this version has no remote debugger fields")
    return found.layout.debugger
