"""Runs: programs that are started for their sessions, from the token that one is given to its end.

A run has a thread, that of its connection. It arms what was asked for while the program waits at its first line, then
sleeps until the program says that it is about to end, and stores the last state before it lets it go on to its end.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from execd.attach.entrance import Entrance, greet
from execd.attach.startup import Heirs, archive
from execd.attach.text import bundle, read_agent
from execd.errors import ExecdError, NotFound, NotSupported, UsageError
from execd.sessions import sums
from execd.sessions.attached import come
from execd.sessions.attaching import completed, inside
from execd.sessions.first_line import armed_at_the_first_line, is_early
from execd.sessions.program_end import SETTLED_S, SOURCES_S, ends_by_itself, settled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from execd.attach.startup import Places
    from execd.attach.text import Agent
    from execd.model.session import Session, SessionSpec
    from execd.sessions.armed import Armed
    from execd.sessions.live import LiveTarget
    from execd.sessions.registry import Registry
    from execd.sessions.tree import Tree
    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")
_SUPPORTED = ((3, 9), (3, 15))
# Of a token that nobody has come with.
_TOKEN_S = 60.0
# From the execution of an interpreter to its import of site; one that has not come by then is attached to.
_HEIRS_S = 3.0
# Of those that are over: their outcome may be asked for.
_KEPT = 256


@dataclass(slots=True)
class Run:
    """One program.

    Attributes:
        specs, name: what to record, and what to call it.
        version: of its interpreter, (3, 11).
        nonce: what its agent's hello holds, and those of descendants that come as it does.
        due: until when somebody may come with its token, on time.monotonic().
        sessions: those that it has, once they run.
        failure: why it has none.
        heirs: what its descendants say that execute an interpreter, where they are recorded.
        over: set when nothing more is recorded.
    """

    specs: Sequence[SessionSpec]
    name: str
    version: tuple[int, int]
    nonce: str
    due: float
    sessions: tuple[str, ...] = ()
    failure: str = ""
    heirs: bytes = b""
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
        # By what descendants say that execute an interpreter.
        self._heirs: dict[bytes, tuple[Run, Tree]] = {}
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
        early = [is_early(spec) for spec in specs]
        heirs = None
        # Children that are sampled alone need no agent, and wait for none.
        if any(spec.children for spec in inside(specs)):
            run.heirs = secrets.token_hex(16).encode()
            heirs = Heirs(os.fsencode(self._path), run.heirs, self._dead_man_s)
        content = archive(self._agent(), minor, places, run.nonce, waits=any(early), gates=not all(early), heirs=heirs)
        return Prepared(token, self._path, content, self._dead_man_s)

    def outcome(self, token: str) -> tuple[list[Session], str]:
        """Return the sessions of a run whose program has ended, and why it has none. Raises NotFound."""
        run = self._runs.get(token.encode())
        if run is None:
            raise NotFound("there is no run of that token")
        run.over.wait(SETTLED_S)
        if run.heirs in self._heirs:
            # What has ended with it: those that go on are not waited for.
            settled(lambda: not self._heirs[run.heirs][1].is_storing())
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
        if token in self._heirs:
            self._admit_heir(*self._heirs[token], connection)
            return
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

    def _admit_heir(self, run: Run, tree: Tree, connection: socket.socket) -> None:
        agent = self._agent()
        tree.admit_started(lambda: greet(connection, bundle(agent, run.version), agent.sources_literal, run.nonce))

    def _conduct(self, run: Run, connection: socket.socket) -> None:
        agent: Agent = self._agent()
        link, pid = greet(connection, bundle(agent, run.version), agent.sources_literal, run.nonce)
        live = come(link, pid, self._clock)
        try:
            with live.lock:
                if run.heirs:
                    # Before it begins: it may fork at once.
                    self._expect_heirs(run, self._registry.trees.open(live, _HEIRS_S))
                armed = armed_at_the_first_line(live, inside(run.specs))
                # Before its sessions are listed: who then asks for a detach waits for the rest, and gets it.
                self._registry.enter(live)
                sessions = self._begun(live, run, armed)
                run.sessions = tuple(session.id for session in sessions)
        except BaseException:
            self._registry.trees.end(live.target.key)
            # What waits for us goes on when the link is closed, in any case.
            with live.lock, suppress(ExecdError):
                if not live.gone:
                    live.detach()
            self._registry.drop(live)
            raise
        # It records now, and is beaten more often.
        self._registry.look_again()
        self._store.audit(0, "run", pid, link.method)
        if ends_by_itself(live):
            self._end(live)
        settled(lambda: live.gone)

    def _expect_heirs(self, run: Run, tree: Tree) -> None:
        with self._lock:
            self._heirs = {token: row for token, row in self._heirs.items() if not row[1].is_over}
            self._heirs[run.heirs] = run, tree

    def _begun(self, live: LiveTarget, run: Run, armed: Sequence[Armed]) -> list[Session]:
        """Start the sessions; the program runs already, and the disk does not keep it waiting."""
        recorder, specs = self._registry.recorder, inside(run.specs)
        try:
            begun = recorder.start_all(live, specs, run.name, is_part=len(specs) < len(run.specs))
        except ExecdError:
            for one in armed:
                live.disarm_unused(one)
            raise
        return completed(self._registry, live, begun, run.specs, run.name)

    def _end(self, live: LiveTarget) -> None:
        """Store the last state of a program that waits for that."""
        with live.lock:
            if live.gone:
                return
            self._registry.recorder.stop_all(live, SOURCES_S)
            self._registry.samplings.end(live.target.key.pid)
            self._registry.leave(live)


def _minor(version: str) -> tuple[int, int]:
    """Return the minor version of "3.11.7". Raises NotSupported."""
    numbers = version.split(".")
    if len(numbers) > 1 and all(one.isdecimal() and one.isascii() for one in numbers[:2]):
        minor = int(numbers[0]), int(numbers[1])
        if _SUPPORTED[0] <= minor <= _SUPPORTED[1]:
            return minor
    raise NotSupported(f"Python {version} is not supported", remedy="use CPython 3.9 to 3.15")
