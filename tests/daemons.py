"""Daemons: real ones, each with a socket and a data directory of its own, spoken to by gRPC and by execctl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import grpc
from execctl.client import Client
from execd.rpc import peer
from execd_api.v1 import (
    profiles_pb2,
    profiles_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    targets_pb2,
    targets_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execd_api.v1.profiles_pb2 import Profile
    from execd_api.v1.sessions_pb2 import Session
    from execd_api.v1.targets_pb2 import AttachResponse, DetachResponse

# A start takes half a second of a processor; beside a dozen programs that compute that may come to 20 s.
START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 20.0
END_TIMEOUT_S = 10.0
# The longest trace that a test follows, and slack.
FOLLOW_TIMEOUT_S = 60.0
POLL_S = 0.02
# 5 s, a second until the next beat, and some slack; two intervals would not fit.
CHECKPOINT_TIMEOUT_S = 9.0
# All tests that record calls may be run in the other form: EXECD_TEST_FORM=python.
FORM = os.environ.get("EXECD_TEST_FORM", "native")
CALLS = sessions_pb2.SessionSpec(
    collector="calls", options_json=json.dumps({"builtins": True, "subcalls": True, "form": FORM})
)


class Daemon:
    """`execd start --foreground` as a process, and a channel to it. Its end removes what it stored.

    Attributes:
        program: what Python runs.
    """

    program: ClassVar[tuple[str, ...]] = ("-m", "execd")

    def __init__(self) -> None:
        # pytest's own directories have paths that are too long for a socket.
        self._root = Path(tempfile.mkdtemp(prefix="ex"))
        self.data_dir = self._root / "data"
        self._socket = self._root / "run" / "s"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECD_S")}
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Not by a kill: its helper would be an orphan, which some machines reap late.
        self.process.terminate()
        try:
            self.process.wait(END_TIMEOUT_S)
        finally:
            self.kill()
        shutil.rmtree(self._root)

    def start(self) -> None:
        """Starts it, or starts the next one in the same place, and waits until it serves."""
        flags = ["--data-dir", os.fspath(self.data_dir), "--socket", os.fspath(self._socket)]
        command = [sys.executable, *self.program, "start", "--foreground", *flags]
        self.process = subprocess.Popen(command, env=self._environment)
        if (serving := peer.serving(self._socket, START_TIMEOUT_S)) != self.process.pid:
            # Nobody else would: there is no daemon whose end could be waited for.
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{serving} serves, not {self.process.pid}, after {START_TIMEOUT_S} s")
        self._channel = grpc.insecure_channel(f"unix:{self._socket}")
        self._targets = targets_pb2_grpc.TargetsStub(self._channel)
        self._sessions = sessions_pb2_grpc.SessionsStub(self._channel)
        self._profiles = profiles_pb2_grpc.ProfilesStub(self._channel)

    def complaints(self) -> list[str]:
        """What it logged as an error."""
        lines = (self.data_dir / "execd.log").read_text("utf-8").splitlines()
        return [line for line in lines if json.loads(line)["level"] == "error"]

    def kill(self) -> None:
        """Kills it by SIGKILL and waits for its end."""
        self._channel.close()
        self.process.kill()
        self.process.wait()

    def attach(self, pid: int, *specs: sessions_pb2.SessionSpec) -> AttachResponse:
        """Attaches, and starts the given sessions."""
        request = targets_pb2.AttachRequest(target=str(pid), sessions=specs)
        return self._targets.Attach(request, timeout=CALL_TIMEOUT_S)

    def record_calls(self, pid: int, form: str = FORM) -> Session:
        """Attaches and records calls."""
        options = {"builtins": True, "subcalls": True, "form": form}
        spec = sessions_pb2.SessionSpec(collector="calls", options_json=json.dumps(options))
        return self.attach(pid, spec).sessions[0]

    def start_session(self, pid: int, spec: sessions_pb2.SessionSpec) -> Session:
        """Starts a session on a process that is attached."""
        request = sessions_pb2.StartRequest(target=str(pid), sessions=[spec])
        return self._sessions.Start(request, timeout=CALL_TIMEOUT_S).sessions[0]

    def stop(self, session: str) -> None:
        """Ends a session, and stores its last profile."""
        self._sessions.Stop(sessions_pb2.StopRequest(session=session), timeout=CALL_TIMEOUT_S)

    def record_all(self, spec: sessions_pb2.SessionSpec) -> sessions_pb2.RecordAllResponse:
        """Samples every process."""
        return self._sessions.RecordAll(sessions_pb2.RecordAllRequest(session=spec), timeout=CALL_TIMEOUT_S)

    def detach(self, pid: int) -> DetachResponse:
        """Detaches."""
        return self._targets.Detach(targets_pb2.DetachRequest(target=str(pid)), timeout=CALL_TIMEOUT_S)

    def snapshot(self, chosen: int | str) -> list[Profile]:
        """Takes a snapshot of a session, or of every session on a process; as they are stored."""
        request = sessions_pb2.SnapshotRequest(session=str(chosen))
        return list(self._sessions.Snapshot(request, timeout=CALL_TIMEOUT_S).profiles)

    def session(self, session: str) -> Session:
        """A session as the daemon knows it."""
        return self._sessions.Get(sessions_pb2.GetSessionRequest(session=session), timeout=CALL_TIMEOUT_S)

    def latest_session(self) -> str:
        """The session that began last; of a program that was just started it is listed a moment later."""
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while not (found := self.latest_sessions(1)):
            assert time.monotonic() < deadline, "no session is listed"
            time.sleep(POLL_S)
        return found[0].id

    def latest_sessions(self, limit: int) -> list[Session]:
        """So many sessions, the one that began last first."""
        request = sessions_pb2.ListSessionsRequest(limit=limit)
        return list(self._sessions.List(request, timeout=CALL_TIMEOUT_S).sessions)

    def ended(self, session: str) -> Session:
        """Waits for the end of a session."""
        changes = self._sessions.Watch(sessions_pb2.WatchRequest(session=session), timeout=CALL_TIMEOUT_S)
        return list(changes)[-1]

    def checkpoint(self, session: str) -> Profile:
        """Waits until a profile of a session is stored, which its daemon does by itself every 5 s."""
        request = profiles_pb2.ListProfilesRequest(session=session)
        deadline = time.monotonic() + CHECKPOINT_TIMEOUT_S
        while not (found := self._profiles.List(request, timeout=CALL_TIMEOUT_S).profiles):
            assert time.monotonic() < deadline, "no checkpoint comes"
            time.sleep(POLL_S)
        assert found[0].reason == "checkpoint"
        return found[0]

    def final_profile(self, session: str) -> bytes:
        """The stored bytes of the newest profile of a session."""
        return self.stored(self.session(session).latest_profile)

    def stored(self, profile: str) -> bytes:
        """The stored bytes of a profile."""
        pieces = self._profiles.Get(profiles_pb2.GetProfileRequest(profile=profile), timeout=CALL_TIMEOUT_S)
        return b"".join(piece.data for piece in pieces)

    def import_pieces(self, *pieces: tuple[str, int, bytes]) -> profiles_pb2.ImportResponse:
        """Imports files of one piece each: name, the size that is told, content."""
        chunks = (profiles_pb2.ImportChunk(file=file, size=size, data=data) for file, size, data in pieces)
        return self._profiles.Import(chunks, timeout=CALL_TIMEOUT_S)

    def execctl(self, *words: str) -> str:
        """What execctl prints, where all went well."""
        done = self.run_execctl(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_execctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """How execctl ends, and what it prints."""
        command = [sys.executable, "-m", "execctl", "--no-start", "--socket", os.fspath(self._socket), *words]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=CALL_TIMEOUT_S, check=False
        )

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._socket

    def client(self) -> Client:
        """The Python API on it; to be closed."""
        return Client(self._socket, may_start=False)

    def execctl_command(self) -> list[str]:
        """What a command line of execctl begins with that speaks to this daemon."""
        return [sys.executable, "-m", "execctl", "--no-start", "--socket", os.fspath(self._socket)]

    def start_execctl(self, *words: str, **given: Any) -> subprocess.Popen[str]:
        """An execctl that goes on, with other arguments of Popen where they are given; the caller waits for its end."""
        command = [sys.executable, "-m", "execctl", "--no-start", "--socket", os.fspath(self._socket), *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**self._environment, **given.pop("env", {})}
        return subprocess.Popen(command, env=environment, text=True, **(streams | given))

    def follow(
        self, session: str, *, from_now: bool = False, timing: bool = False, after: int = 0
    ) -> Iterator[sessions_pb2.FollowChunk]:
        """What those get who follow a trace."""
        request = sessions_pb2.FollowRequest(session=session, from_now=from_now, timing=timing, after=after)
        yield from self._sessions.Follow(request, timeout=FOLLOW_TIMEOUT_S)

    def report(self, *words: str) -> dict[str, Any]:
        """`execctl report --json`."""
        report: dict[str, Any] = json.loads(self.execctl("report", *words, "--json"))
        return report
