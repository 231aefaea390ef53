"""What forbids an attach, found out before anything is touched: one check a reason, each with its remedy.

A check returns what it found, or raises the error that the attach would give.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING

from execd.attach import access, debugger, process, rootfs, seccomp, waiting, x86_64
from execd.attach.link import find_markers, require_room
from execd.errors import AttachBusy, NotPermitted, NotSupported, TargetGone

if TYPE_CHECKING:
    from execd.attach.subject import Subject

_STOPPED = {"T": "stopped by a signal", "t": "stopped by a debugger"}
_SWITCH = "PYTHON_DISABLE_REMOTE_DEBUG"
# pidfd_getfd and openat2.
_OLDEST_KERNEL = (5, 6)
_ELF_64, _ELF_X86_64 = 2, 62


class Unneeded(Exception):
    """A check has nothing to look at in this process; the text says why."""


class Unknown(Exception):
    """A check cannot tell now; the text says why. An attach is tried all the same."""


def check_system(_subject: Subject) -> str:
    """Linux on x86_64, new enough."""
    machine, release = platform.machine(), platform.release()
    if sys.platform != "linux" or machine != x86_64.MACHINE:
        raise NotSupported(f"execd attaches on Linux {x86_64.MACHINE} only, this is {machine}")
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _OLDEST_KERNEL:
        raise NotSupported(f"execd needs Linux 5.6, this is {release}", remedy="a newer kernel")
    return f"Linux {release} on {machine}"


def check_alive(subject: Subject) -> str:
    """Not a zombie."""
    if subject.status.state in "ZX":
        raise TargetGone(f"process {subject.pid} has ended (it is a zombie)", pid=subject.pid)
    return "it lives"


def check_tracer(subject: Subject) -> str:
    """A process has one tracer."""
    pid, thread = subject.pid, subject.status.tracer_pid
    if thread:
        tracer, name = _tracer(thread)
        raise NotPermitted(
            f"process {pid} is being traced by process {tracer}{name}",
            remedy=f"end that debugger or strace first (PID {tracer})",
            pid=pid,
            tracer_pid=tracer,
        )
    return "nobody traces it"


def _tracer(thread: int) -> tuple[int, str]:
    """Return the process of a thread that traces, and its name in parentheses, "" where only the thread is known."""
    try:
        pid, name = process.process_of(thread)
    except (TargetGone, NotPermitted):
        return thread, ""
    return pid, f" ({name})"


def check_running(subject: Subject) -> str:
    """A stopped process comes to no safe point."""
    pid, state = subject.pid, subject.status.state
    if state in _STOPPED:
        raise NotPermitted(f"process {pid} is {_STOPPED[state]}", remedy=f"let it run: kill -CONT {pid}", pid=pid)
    if waiting.is_frozen(pid) or waiting.is_in_frozen_group(pid):
        raise AttachBusy(f"process {pid} is frozen by its cgroup", remedy="thaw it: resume its container", pid=pid)
    return "it is not stopped"


def check_user(subject: Subject) -> str:
    """The kernel lets root trace everybody's processes, others their own."""
    uid = subject.status.uid
    access.require_user(subject.pid, uid)
    return f"it belongs to user {access.user_name(uid)}, execd runs as user {access.user_name(os.geteuid())}"


def check_access(subject: Subject) -> str:
    """What the kernel says, yama and other security modules included."""
    access.require_access(subject.pid, access.yama_scope())
    return "the kernel lets execd trace it"


def check_word_size(subject: Subject) -> str:
    """A 64-bit program."""
    descriptor = rootfs.open_executable(subject.pid)
    try:
        head = os.pread(descriptor, 20, 0)
    finally:
        os.close(descriptor)
    if head[:4] == b"\x7fELF" and (head[4] != _ELF_64 or head[18] != _ELF_X86_64):
        raise NotSupported(f"process {subject.pid} is not a 64-bit {x86_64.MACHINE} program", pid=subject.pid)
    return "64 bits"


def check_c_library(subject: Subject) -> str:
    """The locks of glibc are known, those of musl are not."""
    if any("/ld-musl-" in mapping.path for mapping in subject.mappings):
        raise NotSupported(
            f"process {subject.pid} uses musl, which is not supported yet",
            remedy="an image with glibc",
            pid=subject.pid,
        )
    return "not musl"


def check_shadow_stack(subject: Subject) -> str:
    """A chain of signal frames returns to where nobody called from."""
    if subject.status.shadow_stack:
        raise NotSupported(
            f"process {subject.pid} runs with a shadow stack, which borrowing a thread would break",
            remedy="start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
            pid=subject.pid,
        )
    return "none"


def check_variable(subject: Subject) -> str:
    """The switch that 3.14 brought is respected on every version."""
    if process.has_variable(subject.pid, _SWITCH):
        raise NotPermitted(
            f"remote debugging is disabled in process {subject.pid} by {_SWITCH}",
            remedy="start it without that variable",
            pid=subject.pid,
        )
    return f"{_SWITCH} is not in its environment"


def check_agent(subject: Subject) -> str:
    """Two agents would take each other's hooks off."""
    pid, ours = subject.pid, False
    for marker in find_markers(pid).values():
        _, uid, daemon = marker.split(":", 2)
        ours = ours or marker == subject.marker
        if marker != subject.marker and daemon.isdigit() and os.path.exists(f"/proc/{daemon}/stat"):
            raise NotPermitted(
                f"process {pid} has the agent of another daemon, process {daemon} of user {uid}",
                remedy=f"detach there first, or stop that daemon (PID {daemon})",
                pid=pid,
                daemon_pid=daemon,
            )
    return "this daemon's agent is in it" if ours else "it has none"


def check_room(subject: Subject) -> str:
    """The link needs descriptors and memory."""
    require_room(subject.pid, subject.mappings)
    return "enough of both"


def check_cpython(subject: Subject) -> str:
    """CPython by what it has loaded, of a known version with the GIL, laid out as expected."""
    found = subject.interpreter
    others = found.others()
    return f"CPython {found.version_text}" + (f"; of {others + 1} interpreters the main one" if others else "")


def check_exit(subject: Subject) -> str:
    """An interpreter that ends runs nothing any more."""
    if subject.interpreter.finalizing():
        raise NotPermitted("the target's interpreter is ending", remedy="nothing: it will be gone soon")
    return "its interpreter is not ending"


def check_switch(subject: Subject) -> str:
    """From 3.14 the interpreter has a switch of its own."""
    if subject.interpreter.layout.debugger is None:
        raise Unneeded("before 3.14 there is no such option")
    debugger.require_enabled(subject.interpreter)
    return "the interpreter permits it"


def check_seccomp(subject: Subject) -> str:
    """What its filters do to the system calls of an attach. Stops a thread for an instant to read them."""
    pid, mode = subject.pid, subject.status.seccomp
    if mode == seccomp.OFF:
        raise Unneeded("it has no filter")
    if mode == seccomp.STRICT:
        raise NotSupported(f"process {pid} runs under strict seccomp: any call but read and write ends it", pid=pid)
    if not seccomp.may_read():
        if subject.allow_seccomp:
            raise Unknown("it has filters that execd may not read; --allow-seccomp attaches all the same")
        raise NotPermitted(
            f"process {pid} runs under a seccomp filter that execd may not read, and which may end it at an attach",
            remedy="run execd as root of the machine (CAP_SYS_ADMIN), or attach with --allow-seccomp at its risk",
            pid=pid,
        )
    if subject.stopper is None:
        raise Unknown("it has filters; reading them takes a stop: execctl doctor does that")
    if subject.status.tracer_pid or subject.status.state in _STOPPED:
        raise Unknown("it has filters, which cannot be read while it is stopped or traced")
    seccomp.judge(pid, subject.filters)
    return f"{len(subject.filters)} read: each lets an attach's system calls through"
