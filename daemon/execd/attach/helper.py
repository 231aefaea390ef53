"""The helper process: makes the ptrace calls of an attach in one thread of its own, and can be killed at any point.

The daemon starts it once and sends requests over a socket (see attacher.py). Its death, at whatever instant, lets go of
every thread that it held, and the target goes on by itself: that is the last of all time limits.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import secrets
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from execd.attach import checks, late_signals, process, refusals, text
from execd.attach import link as links
from execd.attach.children import close_in_children
from execd.attach.injection import BORROWED, Injection
from execd.attach.interpreter import Finder, Interpreter
from execd.attach.ptrace import Ptrace
from execd.attach.stopped import StopClock, Stopper
from execd.attach.subject import Subject
from execd.errors import AgentFailed, AttachBusy, AttachTimeout, ExecdError, TargetGone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MESSAGE_LIMIT = 1 << 20
_RETRY_S = 0.002
_NICENESS = -10
_TAKE_BACK_S = 0.2
# While what the daemon does with an answer must not wait for the processor.
_COLLECT_AFTER_S = 0.2
# Orders, each of which leaves some cycles.
_UNCOLLECTED_LIMIT = 32
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
    """A link that the agent has answered on; the descriptors are ours."""

    channel: socket.socket
    pidfd: int
    method: str
    stopped_us: int
    nonce: str


@dataclass(frozen=True, slots=True)
class Kit:
    """What every attach of this process uses: found ELF files, the agent's sources, the ptrace calls."""

    finder: Finder
    agent: text.Agent
    ptrace: Ptrace


def serve(control: socket.socket, kit: Kit) -> None:
    """Answer requests until the daemon is gone. The fault tests bring a kit of their own."""
    uncollected = 0
    while message := _next(control):
        request = json.loads(message)
        if request["op"] == "cancel":
            continue  # of an order that had come to its end by itself
        try:
            reply, descriptors = _answer(request, control, kit)
        except ExecdError as error:
            reply, descriptors = _error_reply(error), []
        except ProcessLookupError:
            reply, descriptors = _error_reply(TargetGone(f"process {request.get('pid')} has ended")), []
        try:
            socket.send_fds(control, [json.dumps(reply).encode()], descriptors)
        except BrokenPipeError:
            return  # the daemon was killed: nobody is left to tell, and our end closes the descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        if kit.ptrace.stuck:
            # A thread did not stop in time and will stop when it can; only our end makes the kernel let go of it.
            os._exit(1)
        uncollected += 1
        if uncollected >= _UNCOLLECTED_LIMIT or not _is_readable(control, _COLLECT_AFTER_S):
            gc.collect()
            uncollected = 0


def _next(control: socket.socket) -> bytes:
    """Return the next message, nothing once the daemon is gone."""
    try:
        return control.recv(_MESSAGE_LIMIT)
    except ConnectionResetError:
        return b""  # it was killed before it had read an answer


def _answer(request: dict[str, object], control: socket.socket, kit: Kit) -> tuple[dict[str, object], list[int]]:
    order = AttachOrder(**{name: request[name] for name in AttachOrder.__dataclass_fields__})  # type: ignore[arg-type]
    if request["op"] == "examine":
        return {"checks": examine(order, kit)}, []
    attached = attach(order, kit, lambda: _has_news(control))
    facts: dict[str, object] = {
        "method": attached.method,
        "stopped_us": attached.stopped_us,
        "nonce": attached.nonce,
    }
    return facts, [attached.channel.detach(), attached.pidfd]


def attach(order: AttachOrder, kit: Kit, cancelled: Callable[[], bool]) -> Attached:
    """Put the agent into a process.

    Raises:
        TargetGone, NotPermitted, NotSupported: before anything was touched.
        AttachTimeout: no safe point in time; nothing of ours is left, or what is left does nothing.
    """
    deadline = time.monotonic() + order.timeout_s
    pidfd = _open_pidfd(order)
    try:
        with _claimed(order, kit, deadline, cancelled):
            return _attach(order, kit, pidfd, deadline, cancelled)
    except BaseException:
        os.close(pidfd)
        raise


def _attach(order: AttachOrder, kit: Kit, pidfd: int, deadline: float, cancelled: Callable[[], bool]) -> Attached:
    # The target's threads come and go while we read.
    subject, found = _retry(lambda: _accepted(order, kit), deadline, cancelled)
    clock = subject.clock
    stopper = Stopper(order.pid, kit.ptrace, clock, subject.mappings)
    opening = links.Opening(stopper, found, order.marker, subject.mappings)
    try:
        link = _retry(opening.attempt, deadline, cancelled)
        late_signals.hand_on(stopper, found)
        channel, method, nonce = _inject(order, kit, stopper, found, link, pidfd, deadline, cancelled)
    finally:
        late_signals.hand_on(stopper, found)
    return Attached(channel, pidfd, method, clock.held_ns // 1000, nonce)


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
def _claimed(order: AttachOrder, kit: Kit, deadline: float, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Keep other daemons from the process meanwhile: none would find the other's agent when it looks for one.

    A lock of a file that only those may open who may trace the process; our end, however it comes, lets go of it.
    """
    try:
        memory = os.open(f"/proc/{order.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield  # whatever forbids that is what the checks will tell
        return
    try:
        _retry(lambda: _claim(memory, order, kit), deadline, cancelled)
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
    deadline: float,
    cancelled: Callable[[], bool],
) -> tuple[socket.socket, str, str]:
    nonce = secrets.token_hex(8)
    channel: socket.socket | None = None
    injection: Injection | None = None
    try:
        channel = links.take_socket(pidfd, link, link.daemon_descriptor)
        _set_dead_man(pidfd, link, order.dead_man_s)
        arrived = _arrival(channel, text.bundle(kit.agent, found.version))
        _place_text(kit.agent, found, link, pidfd, nonce)
        threads = set(process.threads(order.pid))
        injection = Injection(stopper, found, link, arrived, cancelled)
        method = injection.run(deadline)
        _clear_text(link, pidfd)
        close_in_children(order.pid, kit.ptrace, found, link)
        if method != BORROWED:
            _unmap(order.pid, kit, found, link, threads)
    except BaseException:
        if channel is not None:
            channel.close()
        if injection is None or injection.is_undone:
            _take_back(stopper, found, link)
        raise
    return channel, method, nonce


def _take_back(stopper: Stopper, found: Interpreter, link: links.Link) -> None:
    """Close the link in the target; where a text has run, or may, its numbers can be others' by now."""
    try:
        _retry(lambda: links.close_link(stopper, found, link), time.monotonic() + _TAKE_BACK_S, lambda: False)
    except ExecdError:
        return  # three descriptors and a page stay; the error that brought us here is the one to tell


def _place_text(agent: text.Agent, found: Interpreter, link: links.Link, pidfd: int, nonce: str) -> None:
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
    if found.layout.debugger is not None:
        marker = links.take_descriptor(pidfd, link, link.marker)
        os.pwrite(marker, program.rstrip(b"\0"), 0)
        os.close(marker)


def _clear_text(link: links.Link, pidfd: int) -> None:
    """Take the text out of the marker once it has run. A target that has closed it has done that."""
    with contextlib.suppress(AttachBusy):
        marker = links.take_descriptor(pidfd, link, link.marker)
        os.ftruncate(marker, 0)
        os.close(marker)


def _unmap(pid: int, kit: Kit, found: Interpreter, link: links.Link, before: set[int]) -> None:
    """Take the page back once the text has run: a borrowed thread does that by itself.

    Where no thread can do it now, the page stays. The time is not the target's: the thread is most likely ours.
    """
    # The agent's stack is not in the map that was read before; to read all of it again takes longer than the rest.
    stopper = Stopper(pid, kit.ptrace, StopClock(), None)
    with contextlib.suppress(AttachBusy, AttachTimeout):
        ours = set(process.threads(pid)) - before
        _retry(lambda: links.unmap_page(stopper, found, link, ours), time.monotonic() + 0.1, lambda: False)


def _set_dead_man(pidfd: int, link: links.Link, seconds: int) -> None:
    """Bound the agent's reads and writes; the options belong to the socket, whoever holds it."""
    agent_end = links.take_socket(pidfd, link, link.agent_descriptor)
    limit = struct.pack("<qq", seconds, 0)
    agent_end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    agent_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    agent_end.close()


def _arrival(channel: socket.socket, modules: bytes) -> Callable[[float], bool]:
    """Return what waits for so many seconds for the agent's answer, and meanwhile sends it the modules.

    A socket takes 200 KiB at once where its limits are the usual ones: all is there when the agent asks.
    """
    channel.setblocking(False)
    rest = modules[channel.send(modules) :]

    def arrived(seconds: float) -> bool:
        nonlocal rest
        end = time.monotonic() + seconds
        while rest:
            readable, writable, _ = select.select([channel], [channel], [], max(end - time.monotonic(), 0))
            if writable and not readable:
                rest = rest[channel.send(rest) :]
            elif readable or time.monotonic() >= end:
                return bool(readable) and _require_open(channel)
        readable, _, _ = select.select([channel], [], [], max(end - time.monotonic(), 0))
        return bool(readable) and _require_open(channel)

    return arrived


def _require_open(channel: socket.socket) -> bool:
    """Return True; raise AgentFailed where what is to be read is the end: that is no answer of an agent."""
    with contextlib.suppress(ConnectionError):
        if channel.recv(1, socket.MSG_PEEK):
            return True
    raise AgentFailed("the target closed the link before the agent had answered", remedy="try again")


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


def _retry(attempt: Callable[[], _Result], deadline: float, cancelled: Callable[[], bool]) -> _Result:
    while True:
        try:
            return attempt()
        except AttachBusy as error:
            if time.monotonic() >= deadline or cancelled():
                raise AttachTimeout(error.message, remedy=error.remedy, **error.facts) from None
            time.sleep(_RETRY_S)


def _has_news(control: socket.socket) -> bool:
    """The daemon speaks while an attach goes on only to cancel it, or ends."""
    return _is_readable(control, 0)


def _is_readable(control: socket.socket, seconds: float) -> bool:
    return bool(select.select([control], [], [], seconds)[0])


def _be_quick() -> None:
    """Keep what holds us up from holding up a stopped target: garbage collections, and other processes' turns."""
    gc.disable()
    # What is there from the start stays, and need not be looked at again.
    gc.freeze()
    with contextlib.suppress(PermissionError):  # root and CAP_SYS_NICE only
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


def _error_reply(error: ExecdError) -> dict[str, object]:
    return {"error": error.kind, "message": error.message, "remedy": error.remedy, "facts": error.facts}


def main() -> None:
    """Serve on the socket that is our standard input. Signals for the daemon's terminal are not for us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    kit = Kit(Finder(), text.read_agent(), Ptrace())
    _be_quick()
    serve(control, kit)


if __name__ == "__main__":
    main()
