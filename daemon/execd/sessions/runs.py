"""Runs: programs that are started for their sessions, from the token that one is given to its end.

A run has a thread, that of its connection. It arms what was asked for while the program waits at its first line, then
sleeps until the program says that it is about to end, and stores the last state before it lets it go on to its end.
"""

from __future__ import annotations

import functools
import logging
import secrets
import select
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from execd.attach.entrance import Entrance, greet
from execd.attach.scan import look_at
from execd.attach.startup import archive
from execd.attach.text import bundle, read_agent
from execd.errors import ExecdError, NotFound, NotSupported, TargetGone, UsageError
from execd.model.collector import MEMORY
from execd.sessions import sums
from execd.sessions.live import LiveTarget

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from execd.attach.attacher import AgentLink
    from execd.attach.startup import Places
    from execd.attach.text import Agent
    from execd.model.session import Session, SessionSpec
    from execd.sessions.live import Armed
    from execd.sessions.registry import Registry
    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")
_SUPPORTED = ((3, 9), (3, 15))
# Of a token that nobody has come with.
_TOKEN_S = 60.0
# From the agent's hello to the program's first line: the rest of site, and with -m what its packages import.
_ARRIVAL_S = 600.0
# How long a program's end waits for its sources to be compiled; startup.py waits for 5 s in all.
_SOURCES_S = 2.0
# How long the end of a run is waited for once its program is gone.
_SETTLED_S = 10.0
_LATE = "recorded from an instant after the first line on: the program, or a .pth file, set a profile function"
_WAITED = "recorded from some time after the first line on: execd took longer than the 10 s that a program waits for it"
# How often a run looks whether a request of another thread has taken in that its program is about to end.
_LOOK_S = 1.0
# Of those that are over: their outcome may be asked for.
_KEPT = 256


@dataclass(slots=True)
class Run:
    """One program.

    Attributes:
        specs, name: what to record, and what to call it.
        version: of its interpreter, (3, 11).
        nonce: what its agent's hello holds.
        due: until when somebody may come with its token, on time.monotonic().
        sessions: those that it has, once they run.
        failure: why it has none.
        over: set when nothing more is recorded.
    """

    specs: Sequence[SessionSpec]
    name: str
    version: tuple[int, int]
    nonce: str
    due: float
    sessions: tuple[str, ...] = ()
    failure: str = ""
    over: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a client needs to start a program: the token, where to say it, and the archive that starts the agent."""

    token: str
    socket: Path
    archive: bytes
    dead_man_s: int


class Runs:
    """All runs of one daemon.

    Args:
        registry: gets the targets.
        store: says which names are taken.
        path: of the socket that agents come in on.
        dead_man_s: silence of the daemon after which an agent removes itself, seconds.
        clock: seconds since the epoch.
    """

    def __init__(
        self, registry: Registry, store: Store, path: Path, dead_man_s: int, clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._store = store
        self._path = path
        self._dead_man_s = dead_man_s
        self._clock = clock
        self._lock = threading.Lock()
        self._entrance: Entrance | None = None
        self._runs: OrderedDict[bytes, Run] = OrderedDict()
        # Read when it is first needed.
        self._agent = functools.cache(read_agent)

    def prepare(self, specs: Sequence[SessionSpec], name: str, version: str, places: Places) -> Prepared:
        """Make ready for a program that is about to be started.

        Args:
            specs: what to record.
            name: of the session; with several, each gets its collector's name added.
            version: of its interpreter, "3.11.7".
            places: what it will find where.

        Raises:
            ExecdError: it could not be recorded.
        """
        if not specs:
            raise UsageError("nothing to record was named", remedy="name at least one collector")
        self._store.check_session_name(name)
        sums.check_into(self._store, specs)
        self._store.check_room()
        minor = _minor(version)
        run = Run(specs, name, minor, f"-{secrets.token_hex(8)}", time.monotonic() + _TOKEN_S)
        token = secrets.token_hex(16)
        with self._lock:
            if self._entrance is None:
                self._entrance = Entrance(self._path, self._admit)
            self._runs[token.encode()] = run
            self._forget_old()
        early = [_is_early(spec) for spec in specs]
        content = archive(self._agent(), minor, places, run.nonce, waits=any(early), gates=not all(early))
        return Prepared(token, self._path, content, self._dead_man_s)

    def outcome(self, token: str) -> tuple[list[Session], str]:
        """Return the sessions of a run whose program has ended, and why it has none. Raises NotFound."""
        run = self._runs.get(token.encode())
        if run is None:
            raise NotFound("there is no run of that token")
        run.over.wait(_SETTLED_S)
        unknown = "" if run.sessions else "execd failed; its log says why"
        return [self._registry.session(one) for one in run.sessions], run.failure or unknown

    def close(self) -> None:
        """Let no more programs in."""
        with self._lock:
            if self._entrance is not None:
                self._entrance.close()

    def _forget_old(self) -> None:
        """Keep the latest runs, and any that goes on, or may begin yet."""
        now = time.monotonic()
        for token in [token for token, run in self._runs.items() if run.over.is_set() or 0 < run.due < now]:
            if len(self._runs) <= _KEPT:
                break
            del self._runs[token]

    def _admit(self, token: bytes, connection: socket.socket) -> None:
        run = self._runs[token]
        with self._lock:
            if time.monotonic() > run.due:
                raise KeyError(token)
            run.due = 0.0
        try:
            self._conduct(run, connection)
        except ExecdError as error:
            run.failure = error.message
            _LOG.info("a program was not recorded", extra={"facts": {"why": error.message}})
        except Exception:  # noqa: BLE001 - it is logged, and the client is told so
            _LOG.exception("a program was not recorded")
        finally:
            run.over.set()

    def _conduct(self, run: Run, connection: socket.socket) -> None:
        agent: Agent = self._agent()
        link, pid = greet(connection, bundle(agent, run.version), agent.sources_literal, run.nonce)
        live = self._live(link, pid)
        try:
            with live.lock:
                armed = _armed_at_the_first_line(live, run.specs)
                sessions = self._begun(live, run, armed)
        except BaseException:
            # What waits for us goes on when the link is closed, in any case.
            with suppress(ExecdError):
                live.detach()
            raise
        run.sessions = tuple(session.id for session in sessions)
        self._registry.enter(live)
        self._store.audit(0, "run", pid, link.method)
        if _ends_by_itself(live):
            self._end(live)
        _await(lambda: live.gone)

    def _live(self, link: AgentLink, pid: int) -> LiveTarget:
        try:
            target = look_at(pid)
            return LiveTarget(replace(target, python_version=link.hello.python_version), link, self._clock)
        except BaseException:
            link.close()
            raise

    def _begun(self, live: LiveTarget, run: Run, armed: Sequence[Armed]) -> list[Session]:
        """Start the sessions; the program runs already, and the disk does not keep it waiting."""
        try:
            return self._registry.recorder.start_all(live, run.specs, run.name)
        except ExecdError:
            for one in armed:
                live.disarm_unused(one)
            raise

    def _end(self, live: LiveTarget) -> None:
        """Store the last state of a program that waits for that."""
        with live.lock:
            if live.gone:
                return
            self._registry.recorder.stop_all(live, _SOURCES_S)
            self._registry.leave(live)


def _armed_at_the_first_line(live: LiveTarget, specs: Sequence[SessionSpec]) -> list[Armed]:
    """Switch on what was asked for, at once or at the program's first line, and let it go on."""
    armed = [live.arm(spec) for spec in specs if _is_early(spec)]
    at_the_line: list[Armed] = []
    later = [spec for spec in specs if not _is_early(spec)]
    if later:
        facts = live.request("arrive", timeout_s=_ARRIVAL_S).facts
        if facts.get("arrived") is not True:
            raise TargetGone("the program ended before its first line", pid=live.target.key.pid)
        at_the_line = [live.arm(spec) for spec in later]
        if facts.get("late") is True:
            _warn(at_the_line, _LATE)
    missed = live.request("open").facts.get("missed")
    if isinstance(missed, list) and missed:
        _warn([*armed, *at_the_line] if "early" in missed else at_the_line, _WAITED)
    return [*armed, *at_the_line]


def _warn(armed: Sequence[Armed], caveat: str) -> None:
    for one in armed:
        one.caveats += (caveat,)


def _is_early(spec: SessionSpec) -> bool:
    """Tell what is to hear of more than the program's own code: all memory that it holds counts."""
    return spec.collector == MEMORY.name


def _ends_by_itself(live: LiveTarget) -> bool:
    """Sleep until a program says that it is about to end; False where it, or its agent, is gone without a word."""
    while not live.gone:
        number = live.link.channel.fileno()
        if number < 0:
            break
        poller = select.poll()
        poller.register(number, select.POLLIN | select.POLLRDHUP)
        poller.register(live.link.pidfd, select.POLLIN)
        events = dict(poller.poll(_LOOK_S * 1000))
        try:
            if live.link.channel.hear_of_end():
                return True
        except ExecdError:
            break  # the pulse sees it too, and ends what runs
        if live.link.pidfd in events or events.get(number, 0) & (select.POLLRDHUP | select.POLLHUP):
            break
    return False


def _await(condition: Callable[[], bool]) -> None:
    """Wait, for some seconds, for what another thread is about to do."""
    deadline = time.monotonic() + _SETTLED_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def _minor(version: str) -> tuple[int, int]:
    """Return the minor version of "3.11.7". Raises NotSupported."""
    numbers = version.split(".")
    if len(numbers) > 1 and all(one.isdecimal() and one.isascii() for one in numbers[:2]):
        minor = int(numbers[0]), int(numbers[1])
        if _SUPPORTED[0] <= minor <= _SUPPORTED[1]:
            return minor
    raise NotSupported(f"Python {version} is not supported", remedy="use CPython 3.9 to 3.15")
