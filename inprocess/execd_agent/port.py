"""The agent's end of the channel: blocking reads and writes on a descriptor of the target's.

The descriptor is checked before each use: a program that closes every descriptor (daemonising ones do) and opens its
own file under the same number must not lose a byte of it to us. fstat, which tells our socket from all else, gives the
GIL away, and other threads may have it for milliseconds then; so that no regular file is there is asked once more, of
a function that keeps the GIL. What is left: another socket or a pipe that comes under the number in just that time, and
whatever comes in the moment between the second look and the call itself, which gives the GIL away as it begins.
"""

from __future__ import annotations

import posix
import sys
from time import monotonic

from execd_agent import originals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from execd_agent.haste import Haste

# What fpathconf says of it: 1 for regular files and block devices, -1 for all others.
_FILES_HAVE = "PC_ASYNC_IO"
_IS_NO_FILE = -1
# Between two looks at whether a socket that was full takes something.
_PAUSE_S = 0.01


class ChannelClosed(Exception):
    """The daemon is gone, was silent for too long, or the target closed the descriptor."""


class Port:
    """Frames over one descriptor. `receive` belongs to the agent's thread; `send` too; `tell` is for another thread.

    Args:
        descriptor: the agent's end of the channel.
        haste: entered for each system call.
    """

    def __init__(self, descriptor: int, haste: Haste) -> None:
        self._descriptor = descriptor
        self._number_by_answer = {_IS_NO_FILE: descriptor}
        self._haste = haste
        self._identity = self._look()
        self._decoder = wire.Decoder()
        self._frames: list[wire.Frame] = []
        self._sending = originals.new_lock()
        # Whether `tell` was called: for a while no read waits then.
        self._told = False

    def receive(self) -> wire.Frame:
        """Return the next frame. The socket's receive time limit, set by the daemon, is the dead-man switch.

        Raises:
            ChannelClosed: nothing will come any more.
        """
        while not self._frames:
            try:
                self._check()
                with self._haste:
                    data = self._call(posix.read, 65536)
            except (OSError, KeyError) as error:
                if self._told and isinstance(error, BlockingIOError):
                    # Not the dead-man switch; what comes after it waits no longer than the program's end.
                    with self._sending:
                        continue
                raise ChannelClosed(str(error)) from None
            if not data:
                raise ChannelClosed("the daemon closed the channel")
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def wait(self, turn: Callable[[int], bool]) -> None:
        """Call what waits for something to read, until there is, or nothing is expected any more.

        Args:
            turn: given the descriptor, it waits for some time; returns whether it has waited enough.
        """
        while not self._frames and not turn(self._descriptor):
            pass

    def send(self, *frames: bytes) -> None:
        """Write frames without other threads' frames between them. Raises ChannelClosed."""
        with self._sending:
            for frame in frames:
                view = memoryview(frame)
                while view:
                    try:
                        self._check()
                        with self._haste:
                            view = view[self._call(posix.write, view) :]
                    except (OSError, KeyError) as error:
                        raise ChannelClosed(str(error)) from None

    def send_by(self, send: Callable[[int], None]) -> None:
        """Have a frame written by another function, which is given the descriptor. Raises ChannelClosed."""
        with self._sending:
            try:
                self._check()
                send(self._descriptor)
            except (OSError, KeyError) as error:
                raise ChannelClosed(str(error)) from None

    def tell(self, frame: bytes, deadline: float) -> None:
        """Write a frame in a thread of the program's: no signal comes of it, and it waits for nobody for long.

        Args:
            frame: a small one.
            deadline: until when it may wait for the agent's thread and for the daemon, on time.monotonic().

        Raises:
            ChannelClosed: it could not be written.
        """
        if not self._sending.acquire(True, max(deadline - monotonic(), 0.0)):
            raise ChannelClosed("the daemon does not read")
        try:
            self._told = True
            self._check()
            # The socket's own time limit is that of the dead-man switch.
            self._call(posix.set_blocking, False)
            try:
                self._write_unharmed(frame, deadline)
            finally:
                self._call(posix.set_blocking, True)
        except (OSError, KeyError) as error:
            raise ChannelClosed(str(error)) from None
        finally:
            self._sending.release()

    def _write_unharmed(self, frame: bytes, deadline: float) -> None:
        """Write without SIGPIPE, which ends a program that has it as it was before Python."""
        signal = sys.modules["_signal"]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGPIPE,))
            self._write_until(frame, deadline)
        except BrokenPipeError:
            # That of a program which has blocked it itself stays where it is.
            if signal.SIGPIPE not in mask:
                signal.sigtimedwait((signal.SIGPIPE,), 0)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _write_until(self, frame: bytes, deadline: float) -> None:
        view = memoryview(frame)
        while view:
            try:
                view = view[self._call(posix.write, view) :]
            except BlockingIOError:
                if monotonic() >= deadline:
                    raise
                # We hold it: a pause, of which gevent knows nothing.
                self._sending.acquire(True, _PAUSE_S)

    def _call(self, function: Callable[..., Any], argument: Any) -> Any:
        """Make a call on the descriptor. Raises KeyError where a file is under the number.

        In one step of the interpreter: between two of them another thread may get the GIL.
        """
        answers = map(posix.fpathconf, (self._descriptor,), (_FILES_HAVE,))
        (result,) = map(function, map(self._number_by_answer.__getitem__, answers), (argument,))
        return result

    def _check(self) -> None:
        if self._look() != self._identity:
            raise ChannelClosed("the target closed the channel")

    def _look(self) -> tuple[int, int] | None:
        try:
            with self._haste:
                facts = posix.fstat(self._descriptor)
        except OSError:
            return None
        return facts.st_dev, facts.st_ino
