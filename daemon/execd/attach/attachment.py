"""One attach: a process is looked at, given a link, then the text, and the agent answers.

What the target need not wait for is tidied up once the daemon has been answered.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import struct
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from execd.attach import call, checks, late_signals, process, refusals, seccomp, text
from execd.attach import link as links
from execd.attach.children import close_in_children
from execd.attach.delivery import Delivery
from execd.attach.injection import BORROWED, PENDING_CALL, Injection
from execd.attach.readiness import is_readable
from execd.attach.stopped import StopClock, Stopper
from execd.attach.subject import Subject
from execd.errors import AttachBusy, AttachTimeout, ExecdError, TargetGone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.attach.interpreter import Finder, Interpreter
    from execd.attach.ptrace import Ptrace

_RETRY_S = 0.002
_TAKE_BACK_S = 0.2
# Somebody waits for the error.
_TAKE_BACK_IN_CHILDREN_S = 1.0
_UNMAP_S = 0.1
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class AttachOrder:
    """What the daemon asks for.

    Attributes:
        pid, start_ticks: the target.
        timeout_s: how long it may take to reach a safe point.
        marker: name of the memfd that will mark it.
        dead_man_s: the agent takes everything out after so long a silence.
        allow_seccomp: filters that cannot be read are no hindrance.
    """

    pid: int
    start_ticks: int
    timeout_s: float
    marker: str
    dead_man_s: int
    allow_seccomp: bool = False


@dataclass(frozen=True, slots=True)
class Attached:
    """A link that the agent has answered on. The descriptors are closed with the context that it came from.

    Attributes:
        channel, pidfd: to the agent, and of its process.
        method: how the text came to run.
        stopped_us: how long threads of the target had been held by then, summed.
        nonce: what the agent's hello must hold.
        core_hindrance: why the native core may not follow where the process has seccomp filters, "" where it may.
    """

    channel: socket.socket
    pidfd: int
    method: str
    stopped_us: int
    nonce: str
    core_hindrance: str


@dataclass(frozen=True, slots=True)
class Kit:
    """What every attach of this process uses: found ELF files, the agent's sources, the ptrace calls."""

    finder: Finder
    agent: text.Agent
    ptrace: Ptrace


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long is tried: until `deadline`, on time.monotonic(), or until the operator has given up."""

    deadline: float
    cancelled: Callable[[], bool]

    def retry(self, attempt: Callable[[], _Result]) -> _Result:
        """Return what an attempt returns; those that raise AttachBusy are repeated. Raises AttachTimeout."""
        while True:
            try:
                return attempt()
            except AttachBusy as error:
                if time.monotonic() >= self.deadline or self.cancelled():
                    raise AttachTimeout(error.message, remedy=error.remedy, **error.facts) from None
                time.sleep(_RETRY_S)


@contextlib.contextmanager
def attach(order: AttachOrder, kit: Kit, cancelled: Callable[[], bool]) -> Iterator[Attached]:
    """Put the agent into a process; with the end of the context what it needed to come there is taken out.

    The agent answers within the context already. The daemon need not wait for the end.

    Raises:
        TargetGone, NotPermitted, NotSupported: before anything was touched.
        AttachTimeout: no safe point in time; nothing of ours is left, or what is left does nothing.
    """
    patience = _Patience(time.monotonic() + order.timeout_s, cancelled)
    with contextlib.ExitStack() as tidying:
        pidfd = _open_pidfd(order)
        tidying.callback(os.close, pidfd)
        tidying.enter_context(_claimed(order, kit, patience))
        # The target's threads come and go while we read.
        subject, found = patience.retry(lambda: _accepted(order, kit))
        stopper = Stopper(order.pid, kit.ptrace, subject.clock, subject.mappings)
        tidying.callback(late_signals.hand_on, stopper, found)
        link = patience.retry(links.Opening(stopper, found, order.marker, subject.mappings).attempt)
        late_signals.hand_on(stopper, found)
        threads = set(process.threads(order.pid))
        channel, method, nonce, unmapped = _inject(order, kit, stopper, found, link, pidfd, patience)
        tidying.callback(channel.close)
        tidying.callback(_tidy, kit, found, link, pidfd, threads, unmapped=unmapped or method == BORROWED)
        yield Attached(channel, pidfd, method, subject.clock.held_ns // 1000, nonce, _core_hindrance(subject))


def _core_hindrance(subject: Subject) -> str:
    if subject.status.seccomp == seccomp.OFF:
        return seccomp.UNREAD  # those that it may have later
    # Where they cannot be read, whoever attaches has said that they do no harm.
    return seccomp.core_hindrance(subject.filters) if seccomp.may_read() else ""


def examine(order: AttachOrder, kit: Kit) -> list[dict[str, object]]:
    """Return every check of a process as it travels. Raises TargetGone."""
    pidfd = _open_pidfd(order)
    try:
        found = checks.examine(_subject(order, kit))
    finally:
        os.close(pidfd)
    return [{**asdict(check), "outcome": check.outcome.value} for check in found]


def _subject(order: AttachOrder, kit: Kit) -> Subject:
    return Subject(order.pid, order.marker, kit.finder, kit.ptrace, allow_seccomp=order.allow_seccomp)


def _accepted(order: AttachOrder, kit: Kit) -> tuple[Subject, Interpreter]:
    subject = _subject(order, kit)
    found = checks.refuse(subject)
    if not found.started():
        raise AttachBusy(f"the interpreter of process {order.pid} is still starting", remedy="try again")
    return subject, found


@contextlib.contextmanager
def _claimed(order: AttachOrder, kit: Kit, patience: _Patience) -> Iterator[None]:
    """Keep other daemons from the process meanwhile: none would find the other's agent when it looks for one.

    A lock of a file that only those may open who may trace the process; our end, however it comes, lets go of it.
    """
    try:
        memory = os.open(f"/proc/{order.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield  # whatever forbids that is what the checks will tell
        return
    try:
        patience.retry(lambda: _claim(memory, order, kit))
        yield
    finally:
        os.close(memory)


def _claim(memory: int, order: AttachOrder, kit: Kit) -> None:
    try:
        fcntl.flock(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # It has marked the process, or will in an instant.
        refusals.check_agent(_subject(order, kit))
        raise AttachBusy(f"another daemon attaches to process {order.pid} at this instant") from None


def _inject(
    order: AttachOrder,
    kit: Kit,
    stopper: Stopper,
    found: Interpreter,
    link: links.Link,
    pidfd: int,
    patience: _Patience,
) -> tuple[socket.socket, str, str, bool]:
    # Not of letters and digits alone: the interpreter would intern it as it does names, 3.12 for ever.
    nonce = f"-{secrets.token_hex(8)}"
    channel: socket.socket | None = None
    injection: Injection | None = None
    try:
        channel = links.take_socket(pidfd, link, link.daemon_descriptor)
        _set_dead_man(pidfd, link, order.dead_man_s)
        delivery = Delivery(channel, text.bundle(kit.agent, found.version), kit.agent.sources_literal)
        program = _place_text(kit.agent, found, link, nonce)
        function = call.place(found, link)
        if function is None and found.layout.debugger is not None:
            _write_script(link, pidfd, program)
        injection = Injection(stopper, found, link, delivery.arrived, patience.cancelled, function)
        method = injection.run(patience.deadline)
        unmapped = function is not None and method == PENDING_CALL
        return channel, method, nonce, unmapped  # noqa: TRY300 - what comes before may raise all the same
    except BaseException:
        if channel is not None:
            channel.close()
        if injection is None or injection.is_undone:
            _take_back(stopper, found, link)
        with contextlib.suppress(ExecdError, OSError):
            close_in_children(order.pid, kit.ptrace, found, link, _TAKE_BACK_IN_CHILDREN_S)
        raise


def _take_back(stopper: Stopper, found: Interpreter, link: links.Link) -> None:
    """Close the link in the target; where a text has run, or may, its numbers can be others' by now."""
    try:
        _Patience(time.monotonic() + _TAKE_BACK_S, lambda: False).retry(lambda: links.close_link(stopper, found, link))
    except ExecdError:
        return  # three descriptors and a page stay; the error that brought us here is the one to tell


def _place_text(agent: text.Agent, found: Interpreter, link: links.Link, nonce: str) -> bytes:
    """Write the text where it is run from, and return it."""
    settings = {
        "descriptor": link.agent_descriptor,
        "peer": link.daemon_descriptor,
        "marker": link.marker,
        "files": link.files,
        "pid": process.inner_pids(found.memory.pid)[-1],
        "nonce": nonce,
    }
    program = text.injected_text(agent, found.version, settings)
    if len(program) > links.PAGE_SIZE - (link.text_address - link.page):
        raise AssertionError(f"the injected text of {len(program)} bytes has outgrown its page")
    found.memory.write(link.text_address, program)
    return program


def _write_script(link: links.Link, pidfd: int, program: bytes) -> None:
    """Put the text into the marker, as the file that a remote debugger's script is."""
    marker = links.take_descriptor(pidfd, link, link.marker)
    os.pwrite(marker, program.rstrip(b"\0"), 0)
    os.close(marker)


def _tidy(kit: Kit, found: Interpreter, link: links.Link, pidfd: int, before: set[int], *, unmapped: bool) -> None:
    """Take out what the text needed, and no more: the attach has succeeded, and what cannot be done now stays.

    The threads `before` are those that were there before the text ran.
    """
    pid = found.memory.pid
    if is_readable(pidfd, 0):
        return  # it has ended, and its number may be another's
    if found.layout.debugger is not None:
        with contextlib.suppress(ExecdError, OSError):
            _clear_text(link, pidfd)
    with contextlib.suppress(ExecdError, OSError):
        close_in_children(pid, kit.ptrace, found, link)
    if not unmapped:
        with contextlib.suppress(ExecdError, OSError):
            _unmap(pid, kit, found, link, before)


def _clear_text(link: links.Link, pidfd: int) -> None:
    """Take the text out of the marker. A target that has closed it has done that."""
    with contextlib.suppress(AttachBusy):
        marker = links.take_descriptor(pidfd, link, link.marker)
        os.ftruncate(marker, 0)
        os.close(marker)


def _unmap(pid: int, kit: Kit, found: Interpreter, link: links.Link, before: set[int]) -> None:
    """Take the page back: a borrowed thread does that by itself.

    Where no thread can do it now, the page stays. The time is not the target's: the thread is most likely ours.
    """
    # The agent's stack is not in the map that was read before; to read all of it again takes longer than the rest.
    stopper = Stopper(pid, kit.ptrace, StopClock(), None)
    ours = set(process.threads(pid)) - before
    patience = _Patience(time.monotonic() + _UNMAP_S, lambda: False)
    patience.retry(lambda: links.unmap_page(stopper, found, link, ours))


def _set_dead_man(pidfd: int, link: links.Link, seconds: int) -> None:
    """Bound the agent's reads and writes; the options belong to the socket, whoever holds it."""
    agent_end = links.take_socket(pidfd, link, link.agent_descriptor)
    limit = struct.pack("<qq", seconds, 0)
    agent_end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    agent_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    agent_end.close()


def _open_pidfd(order: AttachOrder) -> int:
    try:
        pidfd = os.pidfd_open(order.pid)
    except ProcessLookupError:
        raise TargetGone(f"process {order.pid} has ended", pid=order.pid) from None
    # Read after the pidfd is held: from here on the number belongs to the process that we hold.
    if process.start_ticks(order.pid) != order.start_ticks:
        os.close(pidfd)
        raise TargetGone(f"process {order.pid} has ended; its PID belongs to another one now", pid=order.pid)
    return pidfd
