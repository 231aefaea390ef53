"""Forked children that are recorded too: a door through which each brings the daemon a channel of its own.

The door is one end of a pair of sockets that a child inherits. In its fork hook, which is the first to run Python code
in it, the child makes the two ends of a channel, sends one through the door, starts an agent of its own on the other,
and waits until that has armed what the daemon asks for: no call of the child's is missed. Of its end it tells as a
program does that `execctl run` has started.
"""

from __future__ import annotations

import _socket
import _struct
import _thread
import atexit
import posix
import sys

from execd_agent import originals, wire
from execd_agent.frames import innermost_frame
from execd_agent.waits import make_end, make_let_go, make_start, make_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from execd_agent.port import Port

# A daemon that does not come holds a fork's child up for no longer.
_PATIENCE_S = 2.0
_STACK_BYTES = 1 << 20
_TIMEVAL = "ll"
# How long a signal that came meanwhile waits for the fork to be over.
_TURNS, _TURN_S = 2000, 0.0005


class Offspring:
    """The children of one process, and theirs, while they are recorded. Made and closed in the agent's thread.

    Args:
        settings: of this agent, see bootstrap.py; a child's are made of them.
        frozen: the namespace of importlib._bootstrap.
        nonce: what the hellos of children are to hold.
        dead_man_s: silence of the daemon after which a child's agent removes itself, seconds.
    """

    def __init__(self, settings: dict[str, Any], frozen: dict[str, Any], nonce: str, dead_man_s: int) -> None:
        self._settings = settings
        self.pid = settings["pid"]
        self._frozen = frozen
        self._nonce = nonce
        self._dead_man_s = dead_man_s
        self._door, self._theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        for one in (self._door, self._theirs):
            # A program may have set a time limit for all sockets.
            one.setblocking(True)
            # Who sends is told by the kernel.
            one.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        self._identity = _identity(self._door.fileno())
        self._signals: _Signals | None = None

    def open(self, port: Port) -> None:
        """Give the daemon the other end, and follow each child from now on."""
        port.send_by(self._hand_over)
        self._theirs.close()
        self._settings["stub"].births.append(self)

    def adopt(self, settings: dict[str, Any]) -> None:
        """Go on, in a child, with the same door."""
        self._settings, self.pid = settings, settings["pid"]
        settings["stub"].births.append(self)

    def _hand_over(self, descriptor: int) -> None:
        # Of the same socket under another number: whatever is done to it is done to that.
        channel = _socket.socket(fileno=posix.dup(descriptor))
        try:
            # A program may have set a time limit for all sockets.
            channel.setblocking(True)
            frame = wire.encode_frame(wire.EVENT, 0, b'{"event":"door"}')
            channel.sendmsg([frame], [_rights(self._theirs.fileno())], _socket.MSG_NOSIGNAL)
        finally:
            channel.close()

    def close(self) -> None:
        """Follow no more."""
        births = self._settings["stub"].births
        if self in births:
            births.remove(self)
        self._shut()

    def hold(self) -> None:
        """Let no signal come to a child, in its fork hook, until it has begun."""
        self._signals = _Signals()
        self._signals.block()

    def begin(self) -> None:
        """Start the agent of a child, in its fork hook; nothing of it may surface there."""
        signals, self._signals = self._signals, None
        try:
            try:
                self._begin()
            except BaseException:  # noqa: BLE001 - it goes on unrecorded
                self._shut()
        finally:
            if signals:
                signals.let_through()

    def _shut(self) -> None:
        # A program that closes every descriptor may have its own under the number.
        if _identity(self._door.fileno()) == self._identity:
            self._door.close()
        else:
            self._door.detach()

    def _begin(self) -> None:
        start = make_start(originals.new_lock)
        descriptor = self._connect()
        settings = self._child_settings(descriptor)
        stub, pid = settings["stub"], settings["pid"]
        stub.disarms.append((pid, settings["forget"]))
        stub.silences.append((pid, settings["silence"]))
        stub.launched = settings["nonce"]
        settings["silence"](on=True)
        watch_end(settings, start)
        try:
            _start_thread(settings, self._frozen)
        except BaseException:
            # A limit of threads, or an audit hook: nothing of ours stays in the child.
            settings["let_go"]()
            stub.disarms.remove((pid, settings["forget"]))
            stub.silences.remove((pid, settings["silence"]))
            settings["forget"]()
            raise
        make_wait(start, _PATIENCE_S)("opened")

    def _connect(self) -> int:
        """Send the daemon one end of a channel and return the other."""
        if _identity(self._door.fileno()) != self._identity:
            raise OSError("the program has closed the door")
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            ours.setblocking(True)
            limit = _struct.pack(_TIMEVAL, self._dead_man_s, 0)
            ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, limit)
            ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, limit)
            flags = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
            self._door.sendmsg([b"\1"], [_rights(theirs.fileno())], flags)
            return ours.detach()
        finally:
            ours.close()
            theirs.close()

    def _child_settings(self, descriptor: int) -> dict[str, Any]:
        """Return what a child's agent needs, as launch.py makes it."""
        ours = self._settings
        caller, closer, silencer, hurrier, forgetter, unheard = ours["makers"]
        files = [(descriptor, *_identity(descriptor))]
        call = caller(posix, OSError, files, -1)
        close = closer(posix, OSError, files, call)
        silence = silencer(sys, posix, self._frozen["_warnings"])
        intervals: list[float] = []
        hurry = hurrier(sys, posix, OSError, intervals, descriptor)
        kept: dict[str, Any] = {name: ours[name] for name in ("stub", "makers", "bootstrap", "modules", "sizes")}
        kept.update({name: ours.get(name) for name in ("exit", "replacement", "end")})
        kept.update(descriptor=descriptor, peer=-1, marker=-1, files=files, pid=posix.getpid(), call=call, close=close)
        # It stands in a fork hook, where all that fails is ours.
        kept["unheard"] = unheard(lambda _error: True)
        kept["forget"] = forgetter(close, silence, hurry, kept["unheard"][1])
        kept.update(silence=silence, hurry=hurry, intervals=intervals)
        kept.update(nonce=self._nonce, offspring=self, turn=[True], main_thread=_thread.get_ident())
        return kept


def watch_end(settings: dict[str, Any], start: dict[str, Any]) -> None:
    """Have the process wait at its end until the daemon has the last state: at the interpreter's and at `os._exit`.

    Forked children of multiprocessing end by that.

    Args:
        settings: of the agent, which gets `exit`, os._exit as it is without us; `let_go`, which undoes it; `start`.
        start: what process and agent share, see waits.py.
    """
    os: Any = sys.modules["os"]
    # A parent's stands there where it has one; the program may have put its own in front of it.
    original = os._exit
    if original is settings.get("replacement"):
        original = settings["exit"]
        atexit.unregister(settings["end"])
    end = make_end(start, settings["pid"])
    leaving = [end]
    replacement = _exit_after(leaving, original)

    def undo() -> None:
        leaving.clear()
        if os._exit is replacement:
            os._exit = original
        atexit.unregister(end)

    settings.update(start=start, exit=original, replacement=replacement, end=end)
    settings["let_go"] = make_let_go(start, undo)
    atexit.register(end)
    os._exit = replacement


def _exit_after(leaving: list[Callable[[], None]], original: Any) -> Any:
    """Return what stands for os._exit; it needs no global name, for the program may keep it."""

    def _exit(status: int) -> None:
        if leaving:
            leaving[0]()
        original(status)

    return _exit


class _Signals:
    """No signal, from now on until they are let through: what a handler raises in a fork hook would be lost."""

    def __init__(self) -> None:
        self._signal: Any = sys.modules.get("_signal")
        # Asked for before it is changed: the call that changes it may run a signal handler and return nothing.
        self._mask = self._signal.pthread_sigmask(self._signal.SIG_BLOCK, ()) if self._signal else None

    def block(self) -> None:
        """Begin."""
        if self._signal:
            self._signal.pthread_sigmask(self._signal.SIG_BLOCK, self._signal.valid_signals())

    def let_through(self) -> None:
        """Let them come again; those that came meanwhile come when the fork is over."""
        signal = self._signal
        if not signal:
            return
        came: list[int] = []
        try:
            self._take(came)
            if came:
                arguments = (_thread.get_ident(), came, posix.kill, posix.getpid())
                originals.original(_thread, "start_new_thread")(_send_again, arguments)
                # It has them sent only later: those too that came while it began.
                self._take(came)
        except BaseException:  # noqa: BLE001 - there are no threads any more: better here than never
            for number in came:
                posix.kill(posix.getpid(), number)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _take(self, came: list[int]) -> None:
        """Take those that have come, and have a handler; all others do at once what they do without us."""
        signal = self._signal
        for number in sorted(signal.sigpending() - self._mask):
            if callable(signal.getsignal(number)):
                signal.sigtimedwait((number,), 0)
                came.append(number)


def _send_again(ident: int, numbers: list[int], kill: Any, pid: int) -> None:
    """Send signals that came during a fork, once its hooks are over."""
    pause = originals.new_lock()
    pause.acquire()
    for _ in range(_TURNS):
        frame = innermost_frame(ident)
        while frame is not None and frame.f_code is not Offspring.begin.__code__:
            frame = frame.f_back
        if frame is None:
            break
        pause.acquire(True, _TURN_S)
    for number in numbers:
        kill(pid, number)


def _start_thread(settings: dict[str, Any], frozen: dict[str, Any]) -> None:
    """Start the agent's thread, with every signal blocked by the caller; see launch.py."""
    stack_size = originals.original(_thread, "stack_size")
    usual_stack, usual_s = stack_size(_STACK_BYTES), sys.getswitchinterval()
    try:
        sys.setswitchinterval(min(usual_s, 0.0001))
        settings["intervals"][:] = [usual_s, sys.getswitchinterval()]
        names = {"__builtins__": frozen["__builtins__"], "frozen": frozen, "settings": settings}
        begin, arguments = settings["unheard"][0](exec, (settings["bootstrap"], names))
        originals.original(_thread, "start_new_thread")(begin, arguments)
    finally:
        stack_size(usual_stack)


def _identity(number: int) -> tuple[int, int]:
    try:
        facts = posix.fstat(number)
    except OSError:
        return -1, -1
    return facts.st_dev, facts.st_ino


def _rights(number: int) -> tuple[int, int, bytes]:
    """Return the ancillary data that gives a file away."""
    return _socket.SOL_SOCKET, _socket.SCM_RIGHTS, _struct.pack("i", number)
