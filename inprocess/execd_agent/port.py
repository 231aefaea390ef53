"""The agent's end of the channel: blocking reads and writes on a descriptor of the target's.

The descriptor is checked before each use: a program that closes every descriptor (daemonising ones do) and opens its
own file under the same number must not lose a byte of it to us. fstat, which tells our socket from all else, gives the
GIL away, and other threads may have it for milliseconds then; so that no regular file is there is asked once more, of
a function that keeps the GIL. What is left is another socket or a pipe that comes under the number in just that time.
"""

from __future__ import annotations

import posix

from execd_agent import originals, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from execd_agent.haste import Haste

# What fpathconf says of it: 1 for regular files and block devices, -1 for all others.
_FILES_HAVE = "PC_ASYNC_IO"
_IS_NO_FILE = -1


class ChannelClosed(Exception):
    """The daemon is gone, was silent for too long, or the target closed the descriptor."""


class Port:
    """Frames over one descriptor. `receive` belongs to the agent's thread; `send` may be called by any.

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
                raise ChannelClosed(str(error)) from None
            if not data:
                raise ChannelClosed("the daemon closed the channel")
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

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
