"""The daemon's end of the link to an agent: requests and replies with time limits around the sans-IO wire.

Everything that arrives is a stranger's. No call here blocks longer than its limit, and nothing is kept beyond the
limits of `wire`. A channel that broke the protocol once is closed: there is no way back into a byte stream.
"""

from __future__ import annotations

import json
import marshal
import os
import select
import socket
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execd_agent import wire

from execd.attach import ancillary
from execd.errors import (
    AgentFailed,
    AgentSilent,
    CollectorRefused,
    ExecdError,
    NotSupported,
    TargetGone,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECEIVE_SIZE = 1 << 18
_MARSHAL_VERSION = 2
_HELLO_TIMEOUT_S = 5.0
# The rest of a frame that has begun.
_UNASKED_S = 10.0
# What an agent says unasked, once; and what it says when it is asked for a door, which comes with that.
_ENDING = {"event": "ending"}
_DOOR = {"event": "door"}
_NO_FILE = -1
_NAME_LIMIT = 64
_LIST_LIMIT = 1000
_ABANDONED_LIMIT = 1000
_REASON_LIMIT = 500
_BULK_LIMIT = 24 << 20


@dataclass(frozen=True, slots=True)
class Hello:
    """What an agent says of itself first.

    Attributes:
        python_version: "3.11.7".
        collectors: names of those that it has.
    """

    python_version: str
    collectors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An agent's answer: a JSON object, and bulk bytes where the object announced them."""

    facts: dict[str, Any]
    bulk: bytes | bytearray


class Channel:
    """One agent. Requests may come from any thread; they are made one after the other.

    Args:
        connection: the daemon's end, taken over; closed by `close`.
        pid: of the target, for messages.

    Attributes:
        bulk_limit: how many bytes of bulk an answer may carry.
        breach: how the agent broke the protocol, "" while it has not.
        is_ending: whether the agent has said that its program is about to end, see `hear_of_end`.
    """

    def __init__(self, connection: socket.socket, pid: int) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._pid = pid
        self._decoder = wire.Decoder()
        self._frames: deque[wire.Frame] = deque()
        self.bulk_limit = _BULK_LIMIT
        self.breach = ""
        self.is_ending = False
        self._lock = threading.Lock()
        self._next_request = 0
        # Requests that nobody waits for any more; their answers may still come, before that of any later one.
        self._abandoned: set[int] = set()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._closed = False
        self._whole = True
        # The answer to the request has begun: what does not end then is no silence.
        self._answering = False
        # A file that came with the answer to `follow`, and whether one is awaited.
        self._file = _NO_FILE
        self._awaits_file = False
        # Whether `hear_of_end` has taken in something since a request was last given up.
        self._heard = False

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return self._connection.fileno()

    def hello(self, nonce: str) -> Hello:
        """Return what the agent says first.

        Raises:
            AgentFailed: it is not the agent that was sent, or not of this protocol.
            NotSupported: it could not be started there.
            TargetGone: the link closed.
        """
        with self._guarded():
            frame = self._receive(time.monotonic() + _HELLO_TIMEOUT_S)
            if frame.kind == wire.FAILURE:
                reason = _text(self._object(frame, wire.FAILURE).get("message"), _REASON_LIMIT)
                raise NotSupported(f"process {self._pid} cannot take the agent: {reason}", pid=self._pid)
            facts = self._object(frame, wire.HELLO)
            if facts.get("protocol") != wire.VERSION or facts.get("nonce") != nonce:
                raise self._broken("its hello does not fit")
            self._whole = True
        return Hello(_text(facts.get("python_version")), tuple(_texts(facts.get("collectors"))))

    def request(self, operation: str, *, timeout_s: float, **arguments: object) -> Reply:
        """Make a request and return the answer.

        Raises:
            CollectorRefused: the agent says that a collector cannot run.
            AgentSilent: it did not answer within `timeout_s`; its answer is dropped when it comes.
            AgentFailed: it failed, or broke the protocol.
            TargetGone: the link closed.
        """
        deadline = time.monotonic() + timeout_s
        with self._guarded():
            number = self._new_number()
            # A form that all versions read, and whose texts none interns.
            message = marshal.dumps({"op": operation, **arguments}, _MARSHAL_VERSION)
            self._send(wire.encode_frame(wire.REQUEST, number, message), deadline)
            try:
                return self._reply(number, deadline)
            except AgentSilent:
                self._abandoned.add(number)
                self._whole = True
                raise

    def follow(self, *, timeout_s: float, nonce: str, dead_man_s: int) -> int:
        """Have the agent follow the children of its process, and return the descriptor of their door.

        Args:
            timeout_s: as in `request`, which says what it raises.
            nonce: what their hellos are to hold.
            dead_man_s: silence of the daemon after which their agents remove themselves, seconds.
        """
        self._awaits_file = True
        try:
            self.request("follow", timeout_s=timeout_s, nonce=nonce, dead_man_s=dead_man_s)
        finally:
            self._awaits_file = False
        door, self._file = self._file, _NO_FILE
        if door == _NO_FILE:
            raise self._broken("it sent no door")
        return door

    def has_news(self) -> bool:
        """Whether a silent agent has spoken since, or something is there to be read, or its end. For any thread."""
        return self._heard or self._is_readable()

    def _is_readable(self) -> bool:
        descriptor = self.fileno()
        if descriptor < 0:
            return True
        # Not that of the exchanges: another thread may be waiting in it.
        news = select.poll()
        news.register(descriptor, select.POLLIN)
        return bool(news.poll(0))

    def hear_of_end(self) -> bool:
        """Take in what the agent says unasked, without waiting, and tell whether its program is about to end.

        Raises:
            AgentFailed: it says something else.
            TargetGone: the link closed.
        """
        with self._guarded():
            if self._frames or self._is_readable():
                self._take_in()
            while self._frames:
                self._take_in()
            self._whole = True
        return self.is_ending

    def _take_in(self) -> None:
        frame = self._receive(time.monotonic() + _UNASKED_S)
        if frame.kind != wire.EVENT and frame.request not in self._abandoned:
            raise self._broken("it answered what it was not asked")
        # It may have been what others wait for with `has_news`.
        self._heard = True

    def close(self) -> None:
        """Close the link; the agent then takes everything out of the target within a second."""
        self._closed = True
        self._connection.close()
        if self._file != _NO_FILE:
            os.close(self._file)
            self._file = _NO_FILE

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the channel for one exchange, and close it where the exchange ends in the midst of the byte stream."""
        with self._lock:
            if self._closed:
                raise TargetGone(f"the link to process {self._pid} is closed", pid=self._pid)
            self._whole = self._answering = False
            try:
                yield
            except wire.ProtocolError as error:
                raise self._broken(str(error)) from None
            finally:
                if not self._whole:
                    self.close()

    def _new_number(self) -> int:
        if len(self._abandoned) >= _ABANDONED_LIMIT:
            raise self._broken(f"it has not answered {_ABANDONED_LIMIT} requests")
        self._next_request = (self._next_request + 1) & 0xFFFF
        return self._next_request

    def _reply(self, number: int, deadline: float) -> Reply:
        frame = self._receive(deadline)
        while frame.kind == wire.EVENT or frame.request in self._abandoned:
            frame = self._receive(deadline)
        if frame.request != number:
            raise self._broken("it answered another request than the one made")
        self._abandoned.clear()
        self._answering = True
        if frame.kind == wire.FAILURE:
            failure = self._failure(self._object(frame, wire.FAILURE))
            self._whole = True
            raise failure
        facts = self._object(frame, wire.REPLY)
        bulk: bytes | bytearray = self._receive_bulk(number, deadline) if facts.get("bulk") is True else b""
        self._whole = True
        return Reply(facts, bulk)

    def _receive_bulk(self, number: int, deadline: float) -> bytearray:
        bulk = bytearray()
        limit = min(self.bulk_limit, wire.MAX_BULK)
        while True:
            frame = self._receive(deadline)
            if frame.kind == wire.EVENT:
                continue
            if frame.kind != wire.BULK or frame.request != number:
                raise self._broken("it sent something else than the bulk it announced")
            if len(bulk) + len(frame.payload) > limit:
                raise self._broken(f"its answer is larger than {limit >> 20} MiB")
            bulk += frame.payload
            if not frame.flags & wire.MORE:
                return bulk

    def _receive(self, deadline: float) -> wire.Frame:
        while not self._frames:
            # The clock decides, not the poll: of an agent that sends for ever there is always something to read.
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0 or not self._poll.poll(remaining_s * 1000):
                if self._answering or self._decoder.in_frame:
                    raise self._broken("its answer did not come to an end in time")
                raise self._silent()
            try:
                data = self._read()
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                raise TargetGone(f"the agent in process {self._pid} is gone", pid=self._pid)
            self._frames += self._decoder.feed(data)
        frame = self._frames.popleft()
        if frame.kind == wire.EVENT:
            self._hear(self._object(frame, wire.EVENT))
        return frame

    def _read(self) -> bytes:
        """Return what is there. A file that comes with it, and was not asked for, is let go of."""
        data, told, _, _ = self._connection.recvmsg(_RECEIVE_SIZE, ancillary.SPACE, socket.MSG_CMSG_CLOEXEC)
        descriptors = ancillary.files(told)
        if self._awaits_file and self._file == _NO_FILE and descriptors:
            self._file = descriptors.pop()
        ancillary.drop(descriptors)
        return data

    def _hear(self, event: dict[str, Any]) -> None:
        if event == _DOOR and self._awaits_file:
            return
        if self.is_ending or event != _ENDING:
            raise self._broken("it said what it was not asked")
        self.is_ending = True

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        writable = select.poll()
        writable.register(self._connection, select.POLLOUT)
        while view:
            if not writable.poll(max(deadline - time.monotonic(), 0) * 1000):
                if len(view) == len(data):
                    # Nothing of it is there: requests that were given up fill the socket until it reads again.
                    self._whole = True
                    raise self._silent()
                raise self._broken("it does not read what is sent to it")
            try:
                view = view[self._connection.send(view) :]
            except BlockingIOError:
                continue
            except OSError:
                raise TargetGone(f"the agent in process {self._pid} is gone", pid=self._pid) from None

    def _object(self, frame: wire.Frame, kind: int) -> dict[str, Any]:
        if frame.kind != kind:
            raise self._broken(f"it sent a frame of kind {frame.kind} where {kind} belongs")
        try:
            value = json.loads(frame.payload)
        except (ValueError, RecursionError):
            raise self._broken("it sent something that is not JSON") from None
        if not isinstance(value, dict):
            raise self._broken("it sent JSON that is not an object")
        return value

    def _failure(self, facts: dict[str, Any]) -> ExecdError:
        message = _text(facts.get("message"), _REASON_LIMIT)
        if facts.get("consent") is True:
            return UsageError(
                f"process {self._pid}: {message}",
                remedy="do it all the same: --yes, in Python confirmed=True",
                pid=self._pid,
            )
        if facts.get("refused") is True:
            return CollectorRefused(f"process {self._pid}: {message}", pid=self._pid)
        return AgentFailed(f"the agent in process {self._pid} failed: {message}", pid=self._pid)

    def _silent(self) -> AgentSilent:
        self._heard = False
        return AgentSilent(
            f"the agent in process {self._pid} did not answer in time: the process does not let it run now",
            remedy="try again; a long call in C code that keeps the interpreter's lock ends it only by its end",
            pid=self._pid,
        )

    def _broken(self, what: str) -> AgentFailed:
        self.breach = f"the agent in process {self._pid} broke the protocol: {what}"
        return AgentFailed(self.breach, remedy=f"detach from it: execctl detach {self._pid}", pid=self._pid)


def _text(value: object, limit: int = _NAME_LIMIT) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [_text(item) for item in value[:_LIST_LIMIT]] if isinstance(value, list) else []
