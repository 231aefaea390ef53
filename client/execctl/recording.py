"""`attach --duration`, `attach --trace`: wait, end what this command began, show what came of it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from execctl import output
from execctl.durations import format_duration
from execctl.errors import ClientError
from execctl.exits import ExitCode, code_of_ends
from execctl.following import Following
from execctl.records import state_name
from execctl.suggestions import after_profile, cut, summary
from execctl.waiting import Ending

if TYPE_CHECKING:
    from execd_api.v1.sessions_pb2 import Session
    from execd_api.v1.targets_pb2 import AttachResponse

    from execctl.client import Client


def record(client: Client, attached: AttachResponse, duration_ms: int | None, *, timing: bool = False) -> int:
    """Let the sessions of an attach run for a time, stop them, detach where this attached, show the top.

    Ctrl-C ends the time early and keeps the data. The target is left before anything is shown: a pager on
    stdout may take its time. A trace alone is shown as it comes.

    Args:
        client: of the daemon.
        attached: what to end.
        duration_ms: None for a trace that goes on until Ctrl-C.
        timing: a trace's lines are preceded by the seconds since the start.

    Returns:
        The exit code.
    """
    trace = traced(attached)
    if trace or duration_ms is None:
        interrupted, sessions = _follow(client, Following(trace, timing=timing), attached, duration_ms)
    else:
        interrupted = _wait(client, attached.sessions[0].id, duration_ms)
        sessions = end(client, attached)
    for place, session in enumerate(sessions):
        if place:
            output.write_lines([""])
        _show(client, session)
    return ExitCode.INTERRUPTED if interrupted else code_of_ends(map(state_name, sessions))


def traced(attached: AttachResponse) -> str:
    """Return the session that is a trace, "" where none is."""
    return next((session.id for session in attached.sessions if session.spec.collector == "trace"), "")


def _follow(
    client: Client, following: Following, attached: AttachResponse, duration_ms: int | None
) -> tuple[bool, list[Session]]:
    output.note(f"{following.session}: lines as they run; Ctrl-C ends it and keeps the latest of them")
    following.run(client, None if duration_ms is None else duration_ms / 1000)
    sessions = end(client, attached)
    # What the target had not handed over yet, and what this terminal had not taken.
    following.run_to_the_end(client)
    following.tell()
    return following.interrupted, sessions


def _wait(client: Client, session: str, duration_ms: int) -> bool:
    started = time.monotonic()
    whole = format_duration(duration_ms)
    try:
        with output.Progress() as progress:
            progress.show(f"{session}: recording for {whole}; Ctrl-C ends it early and keeps the data")
            with closing(client.watch(session, duration_ms / 1000)) as told:
                for now in told:
                    past = format_duration(round((time.monotonic() - started) * 1000))
                    progress.show(f"{session}: {state_name(now)} for {past} of {whole}; Ctrl-C keeps the data")
    except KeyboardInterrupt:
        past = format_duration(round((time.monotonic() - started) * 1000))
        output.note(f"{session}: interrupted after {past}; the data are kept")
        return True
    return False


def end(client: Client, attached: AttachResponse) -> list[Session]:
    """Stop the sessions of an attach, leave where it brought the agent, and return them as they ended."""
    sessions: list[Session] = []
    try:
        for session in attached.sessions:
            sessions += client.stop(session.id, Ending(session.id, session.spec.collector).tell)
    finally:
        gone = any(state_name(session) == "target_gone" for session in sessions)
        if not attached.joined and not gone:
            _leave(client, str(attached.target.pid))
    return sessions


def _leave(client: Client, target: str) -> None:
    """Take the agent out that came for us, unless others use it meanwhile."""
    try:
        left = client.detach(target, unless_used=True)
    except ClientError as error:
        # The recording is stored, and is what was asked for.
        output.note(f"not left: {error.message}")
        return
    for sentence in left.residue:
        output.note(f"left in the target: {sentence}")


def _show(client: Client, session: Session) -> None:
    if state_name(session) != "stopped" or session.reason:
        output.note(f"{session.id}: {state_name(session).replace('_', ' ')}: {session.reason}")
    if not session.latest_profile:
        output.note(f"{session.id}: nothing was recorded")
        return
    collector = session.spec.collector
    for caveat in session.caveats if collector == "trace" else ():
        output.note(f"{session.id}: {caveat}")
    if query := summary(session.latest_profile, collector):
        rendering = client.render(query)
        data = rendering.data if collector == "calls" else cut(rendering.data, rendering.profile)
        output.write_bytes(output.printable(data, "text"))
        for sentence in rendering.notes:
            output.note(sentence)
    output.suggest(*after_profile(session.latest_profile, collector))
