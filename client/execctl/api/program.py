"""A program that is measured from its first line to its last."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from execctl import child, convert, pythonline
from execctl.api.profile import Profile
from execctl.errors import NotFound

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from execctl.api.session import Session
    from execctl.client import Client
    from execctl.pythonline import Interpreter
    from execctl.query import SessionSpec
    from execctl.rpc import Rpc

_Kind = TypeVar("_Kind", bound=Profile)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a program.

    Attributes:
        sessions: in the order of the modes; none where there was a failure.
        failure: why nothing was recorded, or "".
    """

    sessions: tuple[Session, ...]
    failure: str


class Prepared:
    """A program that can be started: the daemon waits for it, for a minute. To be closed where it is not started.

    Args:
        client: whose it is.
        rpc: of that.
        interpreter: what it runs under.
        words: options of Python, then the program and its arguments.
        specs: what to record.
        name: of the sessions.
        environment: what it is started with.
    """

    def __init__(
        self,
        client: Client,
        rpc: Rpc,
        interpreter: Interpreter,
        words: Sequence[str],
        specs: Sequence[SessionSpec],
        name: str,
        environment: Mapping[str, str],
    ) -> None:
        self._client = client
        self._rpc = rpc
        self._command = [interpreter.path, *words]
        self._environment = environment
        self._inherited = inherited = child.Inheritance()
        try:
            path = environment.get("PYTHONPATH")
            prepared = rpc.prepare_run(
                specs,
                name,
                interpreter.version,
                inherited.channel,
                inherited.archive,
                None if path is None else os.fsencode(path),
            )
            inherited.fill(prepared.archive)
            inherited.connect(prepared.socket, prepared.token, prepared.dead_man_s)
        except BaseException:
            inherited.close()
            raise
        self._token = prepared.token

    def start(self, **given: Any) -> Program:
        """Start it, with further arguments of subprocess.Popen where they are given.

        Raises:
            NotSupported: it cannot be executed.
        """
        environment = pythonline.with_archive(dict(self._environment), self._inherited.archive)
        process = child.start(self._command, environment, self._inherited, **given)
        return Program(self._client, self._rpc, self._token, process)

    def close(self) -> None:
        """Let go of what it would have inherited."""
        self._inherited.close()


class Program:
    """A program that `Client.run` has started. A context manager, whose end waits for the program's.

    Attributes:
        process: as subprocess has it: its pid, stdin, stdout, stderr, send_signal.
    """

    def __init__(self, client: Client, rpc: Rpc, token: str, process: subprocess.Popen[bytes]) -> None:
        self._client = client
        self._rpc = rpc
        self._token = token
        self.process = process
        self._outcome: Outcome | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end and return its status, the negative number of a signal that ended it.

        Args:
            timeout_s: for how long at most, seconds.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        return self.process.wait(timeout_s)

    def outcome(self) -> Outcome:
        """Wait for its end and return what came of it."""
        if self._outcome is None:
            self.process.wait()
            message = self._rpc.run_outcome(self._token)
            self._outcome = Outcome(tuple(map(convert.session, message.sessions)), message.failure)
        return self._outcome

    @overload
    def profile(self) -> Profile: ...

    @overload
    def profile(self, kind: type[_Kind]) -> _Kind: ...

    def profile(self, kind: type[Profile] = Profile) -> Profile:
        """Return what was recorded of it, as a value; of several modes that of the class that is asked for.

        Waits for its end.

        Raises:
            NotFound: nothing of this class was recorded; the message says why.
        """
        from execctl.api.reading import records  # noqa: PLC0415 - the command line needs no values

        outcome = self.outcome()
        for session in outcome.sessions:
            if session.latest_profile and records(session, kind):
                return self._client.profile(session.id if session.children else session.latest_profile, kind)
        why = outcome.failure or f"nothing that was recorded is a {kind.__name__}"
        raise NotFound(f"no profile of the program: {why}")
