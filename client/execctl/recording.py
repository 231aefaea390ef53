"""`attach --duration`, `attach --trace`: wait, end what this command began, show what came of it."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from execctl import output
from execctl.descendants import recorded
from execctl.durations import format_duration
from execctl.errors import ClientError
from execctl.exits import ExitCode, code_of_ends
from execctl.following import Following
from execctl.shares import described
from execctl.suggestions import after_profile, cut, summary
from execctl.waiting import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from execctl.api.recording import Recording
    from execctl.api.session import Session
    from execctl.client import Client


def record(client: Client, attached: Recording, duration_ms: int | None, *, timing: bool = False) -> int:
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
        interrupted = _follow(client, Following(trace, timing=timing), attached, duration_ms)
    else:
        interrupted = _wait(client, attached, duration_ms)
        attached.end(ending)
    for place, session in enumerate(attached.sessions):
        if place:
            output.write_lines([""])
        _show(client, session)
    return ExitCode.INTERRUPTED if interrupted else code_of_ends(session.state for session in attached.sessions)


def tell_overhead(client: Client, attached: Recording) -> None:
    """Say what recording calls is going to cost, by its first 100 ms; nothing where that is not known."""
    for session in attached.sessions:
        if session.collector == "calls":
            # An older daemon knows nothing of it, and the session may have ended.
            with suppress(ClientError):
                cost = client.overhead(session.id)
                if cost is not None and cost.share is not None:
                    output.note(f"{session.id}: expected overhead: {described(cost)}")


def traced(attached: Recording) -> str:
    """Return the session that is a trace, "" where none is."""
    return next((session.id for session in attached.sessions if session.collector == "trace"), "")


def _follow(client: Client, following: Following, attached: Recording, duration_ms: int | None) -> bool:
    output.note(f"{following.session}: lines as they run; Ctrl-C ends it and keeps the latest of them")
    following.run(client, None if duration_ms is None else duration_ms / 1000)
    attached.end(ending)
    # What the target had not handed over yet, and what this terminal had not taken.
    following.run_to_the_end(client)
    following.tell()
    return following.interrupted


def _wait(client: Client, attached: Recording, duration_ms: int) -> bool:
    started = time.monotonic()
    session, whole = attached.sessions[0].id, format_duration(duration_ms)
    try:
        tell_overhead(client, attached)
        with output.Progress() as progress:
            progress.show(f"{session}: recording for {whole}; Ctrl-C ends it early and keeps the data")
            left_s = max(duration_ms / 1000 - (time.monotonic() - started), 0.0)
            with closing(client.watch(session, left_s)) as told:
                for now in told:
                    past = format_duration(round((time.monotonic() - started) * 1000))
                    progress.show(f"{session}: {now.state} for {past} of {whole}; Ctrl-C keeps the data")
    except KeyboardInterrupt:
        past = format_duration(round((time.monotonic() - started) * 1000))
        output.note(f"{session}: interrupted after {past}; the data are kept")
        return True
    return False


def ending(session: Session) -> Callable[[], None]:
    """Return what tells once that the end of a session takes long."""
    return Ending(session.id, session.collector).tell


def _show(client: Client, session: Session) -> None:
    if session.state != "stopped" or session.reason:
        output.note(f"{session.id}: {session.state.replace('_', ' ')}: {session.reason}")
    if not session.latest_profile:
        output.note(f"{session.id}: nothing was recorded")
        return
    collector = session.collector
    for caveat in session.caveats if collector == "trace" else ():
        output.note(f"{session.id}: {caveat}")
    subject = session.id if session.children else session.latest_profile
    if query := summary(subject, collector):
        layout = output.layout()
        rendering = client.render(replace(query, layout=layout))
        data = rendering.data if collector == "calls" else cut(rendering.data, subject)
        output.write_bytes(output.printable(data, "text", has_color=layout.has_color))
        for sentence in rendering.notes:
            output.note(sentence)
    if session.children:
        output.note(f"recorded {recorded(client, session)}: see execctl report {subject} --per-process")
    output.suggest(*after_profile(subject, collector))
