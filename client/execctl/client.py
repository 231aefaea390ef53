"""The Python API: a client of a daemon. `execctl`, the command line, is made of this class too.

grpc is imported when a client is opened, and not with this file.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, Unpack

from execctl import convert
from execctl.api.recording import Recording
from execctl.archive import Subject, name_of
from execctl.asked import asked_specs, refusing
from execctl.connection import reach
from execctl.durations import milliseconds
from execctl.interrupts import held
from execctl.looking import Looking
from execctl.silence import Silence
from execctl.timeouts import ATTACH_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from execctl.api.census import CensusProfile
    from execctl.api.dump import Dump
    from execctl.api.live_memory import LiveMemory
    from execctl.api.modes import Measuring
    from execctl.api.process import Process
    from execctl.api.program import Prepared, Program
    from execctl.api.session import Detachment, Overhead, Session, TracedLines
    from execctl.api.stored import StoredProfile
    from execctl.calibration import EventCosts
    from execctl.pythonline import Interpreter
    from execctl.query import SessionSpec


class Client(Looking):
    """A connection to one daemon, which is started where none runs; a context manager. Safe from several threads.

    Every method raises ClientError, of the classes of `execctl.errors`; TypeError and ValueError for an argument that
    cannot be right whatever the daemon says. Times are in seconds, sizes in bytes, as their names say.

    Where a target is asked for, it is a PID, or a name that fits one process alone; where a session is, "s12", its name
    or a PID for all on that process; "" is the only one that goes on.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        may_start: bool = True,
        tell: Callable[[str], object] = lambda _sentence: None,
    ) -> None:
        """Find the daemon, start it where none runs, and connect to it.

        Args:
            socket: the daemon's; None for EXECD_SOCKET, else for this user's usual place.
            data_dir: of a daemon that has to be started; None for EXECD_DATA_DIR, else for its own default.
            may_start: whether one may be started.
            tell: is told, a sentence each time, what a user should know meanwhile: that a daemon is started, that it
                does not answer.

        Raises:
            NoDaemon: there is none, and it must not or cannot be started.
            NotPermitted: it is another user's.
            SocketPathTooLong: as it says.
        """
        path = reach(
            os.fspath(socket) if socket else os.environ.get("EXECD_SOCKET"),
            os.fspath(data_dir) if data_dir else os.environ.get("EXECD_DATA_DIR"),
            tell,
            may_start=may_start,
        )
        with held():
            from execctl.rpc import Rpc  # noqa: PLC0415 - imports grpc, which costs more than all the rest
        self.tell = tell
        super().__init__(Rpc(path, Silence(path, tell).tell))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Sessions go on; closing once more is no error."""
        rpc, self._open = self._open, None
        if rpc is not None:
            rpc.close()

    def processes(self) -> list[Process]:
        """Return the CPython processes that this user can see, by PID; each says whether it can be attached to."""
        return list(map(convert.process, self._rpc.list_targets()))

    def doctor(self, target: Subject, *, allow_seccomp: bool = False) -> Process:
        """Look at every condition of an attach, without attaching.

        Args:
            target: which process.
            allow_seccomp: as `attach` would with it.

        Raises:
            NotFound: there is no such process.
        """
        return convert.process(self._rpc.examine(name_of(target), allow_seccomp=allow_seccomp))

    def dump(self, target: Subject, *, never_stop: bool = False, tasks: bool = False) -> Dump:
        """Return where all threads of a process are now. It is read from outside; nothing is put into it.

        Args:
            target: which process.
            never_stop: do not stop running threads while they are read, which else takes some 50 us of each.
            tasks: with the tasks of its event loops.

        Raises:
            NotFound: there is no such process.
            NotPermitted: the kernel does not let the daemon read it.
            NotSupported: its version, or for `tasks` one before 3.14, is not known.
            TargetGone: it has ended.
        """
        return convert.dump(self._rpc.dump(name_of(target), never_stop=never_stop, tasks=tasks))

    def attach(
        self,
        target: Subject,
        specs: Sequence[SessionSpec] = (),
        *,
        timeout_s: float = ATTACH_TIMEOUT_S,
        name: str = "",
        allow_seccomp: bool = False,
        duration_s: float = 0.0,
        on_wait: Callable[[str], object] = lambda _place: None,
        **measuring: Unpack[Measuring],
    ) -> Recording:
        """Attach to a process and start measuring; the end of a `with` block on it stops, stores and leaves.

        Args:
            target: which process.
            specs: what to measure, where it is not said by keyword arguments.
            timeout_s: how long it may take to reach a point at which it can be attached to.
            name: what to call the sessions, or ""; of several each gets its collector's name added.
            allow_seccomp: also under seccomp filters that the daemon may not read; they may end the process.
            duration_s: after which the daemon ends the sessions if nobody else does; 0 for never.
            on_wait: called each second that it takes, with where the main thread is, "" where that is not known.
            **measuring: the modes and their options; see `Measuring`.

        Raises:
            UsageError: no mode, an option that there is not, that has another value than it may, or that does not go
                with the others; said before anything is sent.
            AttachTimeout: it reached no such point; it goes on as before.
            NotPermitted: the kernel, or another tool's claim, forbids it.
            NotSupported: it is of a kind that cannot be attached to safely.
            CollectorRefused: a mode cannot run in it now.
            TargetGone: it has ended.
        """
        asked = asked_specs(specs, measuring, name)
        with refusing(asked):
            answer = self._rpc.attach(
                name_of(target),
                asked,
                timeout_ms=milliseconds("timeout_s", timeout_s),
                name=name,
                allow_seccomp=allow_seccomp,
                duration_ms=milliseconds("duration_s", duration_s),
                on_wait=on_wait,
            )
        return Recording(self, convert.attachment(answer))

    def start(self, target: Subject = "", **measuring: Unpack[Measuring]) -> list[Session]:
        """Start further sessions on a process that is attached to, one group, all or none.

        Args:
            target: which process; "" the only one that is attached to.
            **measuring: the modes and their options; see `Measuring`.

        Raises:
            NotFound: it is not attached to.
            UsageError, CollectorRefused, TargetGone: as of `attach`.
        """
        asked = asked_specs((), measuring)
        with refusing(asked):
            return list(map(convert.session, self._rpc.start(name_of(target), asked)))

    def detach(self, target: Subject = "", *, unless_used: bool = False) -> Detachment:
        """End all sessions on a process and leave it. To detach where nothing is attached is no error.

        Args:
            target: which process; "" the only one that is attached to.
            unless_used: do nothing where sessions run.
        """
        return convert.detachment(self._rpc.detach(name_of(target), unless_used=unless_used))

    def prepare(
        self,
        words: Sequence[str],
        specs: Sequence[SessionSpec] = (),
        *,
        python: str | Interpreter = "",
        name: str = "",
        env: Mapping[str, str] | None = None,
        **measuring: Unpack[Measuring],
    ) -> Prepared:
        """Make ready for a program, as `run` does, and start it by `start` of what is returned."""
        from execctl import pythonline  # noqa: PLC0415 - few commands run programs
        from execctl.api.program import Prepared  # noqa: PLC0415 - likewise

        if isinstance(words, str):
            raise TypeError(f"words are a list of texts, and not {words!r}: say [{words!r}]")
        asked = asked_specs(specs, measuring, name)
        pythonline.check_words(words)
        interpreter = pythonline.find_interpreter(python) if isinstance(python, str) else python
        return Prepared(self, self._rpc, interpreter, words, asked, name, os.environ if env is None else env)

    def run(
        self,
        words: Sequence[str],
        *,
        python: str = "",
        name: str = "",
        env: Mapping[str, str] | None = None,
        popen: Mapping[str, Any] | None = None,
        **measuring: Unpack[Measuring],
    ) -> Program:
        """Start a program that is measured from its first line to its last, under its own interpreter.

        Args:
            words: as after `python`: ["prog.py", "argument"], ["-m", "module"], ["-c", "code"].
            python: the interpreter, by name or path; "" for python3.
            name: what to call the sessions, or "".
            env: its environment; None for that of this process.
            popen: further arguments of subprocess.Popen: cwd, stdin, stdout, stderr.
            **measuring: the modes and their options; see `Measuring`.

        Raises:
            UsageError: words start no program; else as of `attach`.
            NotFound: there is no such interpreter.
            NotSupported: it cannot be recorded, or words keep execd out.
        """
        prepared = self.prepare(words, python=python, name=name, env=env, **measuring)
        try:
            return prepared.start(**{"close_fds": True, **(popen or {})})
        finally:
            prepared.close()

    def sessions(
        self, *, with_ended: bool = False, labels: Mapping[str, str] | None = None, limit: int = 100
    ) -> list[Session]:
        """Return the sessions that go on, newest first.

        Args:
            with_ended: those that ended too.
            labels: that they have all, by key.
            limit: at most so many.
        """
        found = self._rpc.list_sessions(running_only=not with_ended, limit=limit, labels=labels)
        return list(map(convert.session, found.sessions))

    def session(self, session: Subject = "") -> Session:
        """Return one session, as it stands."""
        return convert.session(self._rpc.session(name_of(session)))

    def overhead(self, session: Subject = "") -> Overhead | None:
        """Return what a session of calls costs its process of late; None where that is not known.

        One that has just begun is waited for until its first 100 ms are over: they tell what is to be expected.
        """
        answer = self._rpc.overhead(name_of(session))
        return convert.overhead(answer.overhead) if answer.HasField("overhead") else None

    def snapshot(self, session: Subject = "", name: str = "", *, confirmed: bool = False) -> list[StoredProfile]:
        """Store a profile of sessions that go on, and return these profiles; of a tree the root's stands for all.

        Args:
            session: which.
            name: what to call them, or ""; of a tree the root's.
            confirmed: also where it holds a process up for more than half a second.

        Raises:
            UsageError: it would, and that is not confirmed.
        """
        return list(map(convert.stored, self._rpc.snapshot(name_of(session), name, confirmed=confirmed)))

    def stop(self, session: Subject = "", *, on_wait: Callable[[], object] = lambda: None) -> list[Session]:
        """End sessions, store their last profiles, and return them as they are now. The agent stays.

        Args:
            session: which; to stop one once more is no error.
            on_wait: called each second that it takes.
        """
        return list(map(convert.session, self._rpc.stop(name_of(session), on_wait)))

    def watch(self, session: str, duration_s: float) -> Generator[Session]:
        """Yield a session each time that the daemon tells of it, until it ends or so many seconds are over.

        To be closed by who does not read to its end.
        """
        with closing(self._rpc.watch(session, duration_s)) as told:
            for one in told:
                yield convert.session(one)

    def follow(
        self,
        session: Subject = "",
        *,
        duration_s: float | None = None,
        timing: bool = False,
        from_now: bool = False,
        after: int = 0,
    ) -> Generator[TracedLines]:
        """Yield what a trace records, as it comes, until it ends. To be closed by who does not read to its end.

        Args:
            session: which; who reads slowly is sent no more than he takes, and holds up nobody.
            duration_s: for how long; None without limit.
            timing: lines are preceded by the seconds since the start.
            from_now: leave out what was recorded before.
            after: the number of the last event that is known, `TracedLines.end`.
        """
        chunks = self._rpc.follow(name_of(session), duration_s, timing=timing, after=after, from_now=from_now)
        with closing(chunks):
            for chunk in chunks:
                yield convert.traced_lines(chunk)

    def memory(
        self,
        target: Subject = "",
        *,
        reset_peak: bool = False,
        clear: bool = False,
        where: str = "",
        limit: int = 10,
        confirmed: bool = False,
    ) -> LiveMemory:
        """Return what a running memory session knows of its process as it is now.

        Args:
            target: a PID, a session, a name; "" the only one that runs.
            reset_peak: let the peak begin anew first.
            clear: forget all traces first.
            where: tell where the largest live objects of this type were allocated, "Name" or "module.Name"; or of the
                one object at "module:attribute".
            limit: of `where`: how many objects.
            confirmed: of `where`: also where it takes more than half a second of the process.

        Raises:
            ValueError: two of reset_peak, clear and where.
            UsageError: the process traces itself, and its figures are its own; or it is not confirmed.
        """
        if reset_peak + clear + bool(where) > 1:
            raise ValueError("reset_peak, clear and where exclude each other")
        action = "reset_peak" if reset_peak else "clear" if clear else "where" if where else "figures"
        answer = self._rpc.ask_memory(name_of(target), action, where=where, limit=limit, confirmed=confirmed)
        return convert.live_memory(answer)

    def census(
        self, target: Subject, *, referrers: str = "", confirmed: bool = False, max_memory_bytes: int = 0
    ) -> CensusProfile:
        """Count the live objects of a process by type; it attaches where nobody is, and leaves where it came.

        Args:
            target: which process.
            referrers: a type whose referrers are counted too, or ""; they are in `origin.extra`.
            confirmed: also where it slows the process for more than half a second.
            max_memory_bytes: that it may take in the process; 0 for the daemon's default.

        Raises:
            PartialData: nothing came of it.
            UsageError: it would slow the process for long, and that is not confirmed.
        """
        from execctl.api.census import CensusProfile  # noqa: PLC0415 - the command line needs no values
        from execctl.census import take_census  # noqa: PLC0415 - likewise

        taken = take_census(
            self, name_of(target), referrers=referrers, confirmed=confirmed, max_memory_bytes=max_memory_bytes
        )
        return self.profile(taken, CensusProfile)

    def calibrate(self, target: Subject = "", *, python: str = "") -> EventCosts:
        """Measure what the recording of a call costs a process, or a program of an interpreter; it takes some seconds.

        Args:
            target: which process records calls meanwhile.
            python: an interpreter that is started instead, by name or path.

        Raises:
            ValueError: neither is named, or both are.
            PartialData: nothing was measured.
        """
        from execctl import calibration, pythonline  # noqa: PLC0415 - as of `prepare`

        if bool(target) == bool(python):
            raise ValueError("name a process, or an interpreter by python")
        if python:
            return calibration.costs_in_interpreter(self, pythonline.find_interpreter(python))
        return calibration.costs_in_process(self, name_of(target), lambda _place: None)
