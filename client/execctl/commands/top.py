"""`execctl top`."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.durations import parse_duration_s
from execctl.exits import ExitCode, code_of_ends
from execctl.interrupts import Bell
from execctl.quantities import quantity
from execctl.query import SessionSpec
from execctl.rates import parse_rate_hz
from execctl.recording import ending
from execctl.top.beginning import begin
from execctl.top.screen import Subject
from execctl.top.showing import Showing
from execctl.top.terminal import Terminal, require_terminal
from execctl.words import named

if TYPE_CHECKING:
    from execctl.client import Client
    from execctl.connection import Connection
    from execctl.top.beginning import Begun

_RATE_HZ = 100.0


@click.command("top")
@click.argument("target", default="", metavar="[PID|NAME|SESSION]", callback=named)
@click.option(
    "--rate",
    metavar="HZ",
    callback=quantity(parse_rate_hz),
    help="How often a second each thread is looked at; 100.",
)
@click.option("--stop", is_flag=True, help="Hold each running thread while it is read; else only where that is needed.")
@click.option("--never-stop", is_flag=True, help="Hold no thread, whatever is lost by that.")
@click.option(
    "--interval",
    metavar="DURATION",
    default="1s",
    show_default=True,
    callback=quantity(parse_duration_s),
    help="How often what is shown changes, 200ms to 60s.",
)
@click.pass_context
def command(
    ctx: click.Context, *, target: str, rate: float | None, stop: bool, never_stop: bool, interval: float
) -> None:
    """Show live where a process spends its time.

    It is sampled from outside; nothing is put into it. A session of samples that goes on is looked at and left as it
    is, where --rate, --stop and --never-stop ask for none of their own. Else one is begun, stopped at the end, and
    kept. Nothing after the command means the only such session, else the only process. The key ? lists the keys.
    """
    if stop and never_stop:
        raise click.UsageError("--stop and --never-stop exclude each other")
    require_terminal()
    stopping = {"stopping": "always"} if stop else {"stopping": "never"} if never_stop else {}
    spec = SessionSpec("samples", {"rate_hz": rate or _RATE_HZ, **stopping})
    connection: Connection = ctx.obj
    with Bell(between_waits=True) as bell:
        with connection.open() as client:
            begun = begin(client, bell, target, spec, interval, anew=rate is not None or bool(stopping))
            ended_by = _show(client, begun, bell, interval)
            if ended_by in (0, signal.SIGINT):
                _end(begun)
        begun.feed.join()
    if ended_by not in (0, signal.SIGINT):
        # The daemon sees that nobody reads any more, and stops what was begun.
        signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    ctx.exit(ExitCode.INTERRUPTED if ended_by else _exit_code(begun))


def _show(client: Client, begun: Begun, bell: Bell, interval_s: float) -> int:
    """Show it, and return the signal that ended that, 0 for none."""
    session = client.session(begun.feed.session)
    subject = Subject(session.id, session.pid, session.command_line, session.python_version)
    with Terminal(bell) as terminal:
        Showing(subject, begun.feed, interval_s).run(terminal)
    return terminal.ended_by


def _end(begun: Begun) -> None:
    """End what was begun, and say where the rest is."""
    if begun.recording is not None:
        begun.recording.end(ending)
        (ended,) = begun.recording.sessions
        if ended.reason:
            output.note(f"{ended.id}: {ended.reason}")
        if profile := ended.latest_profile:
            output.note(f"{ended.id} is kept as {profile}: execctl report {profile}")
    elif not begun.feed.has_ended:
        output.note(f"{begun.feed.session} goes on: execctl report {begun.feed.session}")
    if begun.feed.error is not None:
        raise begun.feed.error


def _exit_code(begun: Begun) -> ExitCode:
    last = begun.recording.sessions[0] if begun.recording else begun.feed.last
    return code_of_ends([last.state]) if last else ExitCode.DONE
