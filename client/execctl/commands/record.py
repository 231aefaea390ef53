"""`execctl record`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.descendants import children_option, with_children
from execctl.durations import format_duration, parse_kept_s
from execctl.errors import UsageError
from execctl.keeping import keeping_options, kept
from execctl.quantities import quantity
from execctl.query import SessionSpec
from execctl.rates import parse_rate_hz
from execctl.words import named

if TYPE_CHECKING:
    from execctl.client import Client
    from execctl.connection import Connection

_MOST_TOLD = 20


@click.command("record")
@click.argument("target", metavar="PID|NAME", default="", callback=named)
@click.option("--all", "everyone", is_flag=True, help="Every Python process of this user, and those that come later.")
@click.option(
    "--keep",
    metavar="DURATION",
    default="15m",
    show_default=True,
    callback=quantity(parse_kept_s),
    help="How far back it reaches: what is older goes.",
)
@click.option(
    "--rate",
    metavar="HZ",
    default="20",
    callback=quantity(parse_rate_hz),
    show_default=True,
    help="How often a second each thread is looked at.",
)
@click.option("--name", default="", help="What to call the session.")
@keeping_options
@children_option
@click.pass_obj
def command(
    connection: Connection,
    *,
    target: str,
    everyone: bool,
    keep: float,
    rate: float,
    name: str,
    labels: dict[str, str],
    into: str,
    children: bool,
) -> None:
    """Sample a process all the time, and keep the latest minutes.

    It is for what was slow before you came.

    `execctl report PID --last 5m` and `--between 10:02 10:05` show the past; the recording goes on until
    `execctl stop`. Nothing is put into the process.
    """
    if target and everyone:
        raise UsageError(f"--all has process {target} in it: leave one of them out")
    if not (target or everyone):
        raise UsageError("record what? Name a PID, or --all for every Python process of yours")
    if everyone and (children or into):
        raise UsageError("--all has all descendants in it, and each process is kept by itself: leave the others out")
    with connection.open() as client:
        if everyone:
            _record_all(client, keep, rate, name, labels)
            return
        spec = SessionSpec("samples", {"rate_hz": rate, "keep_s": keep})
        asked = with_children(kept([spec], labels, into), children=children)
        recording = client.attach(target, asked, name=name)
        for sentence in recording.attachment.notes:
            output.note(sentence)
        session, pid = recording.sessions[0].id, recording.target.pid
        output.note(f"process {pid} is sampled {rate:g} times a second from outside; {_kept(keep)}")
        output.write_lines([session])
        output.suggest(f"execctl report {pid} --last 5m", f"execctl stop {session}")


def _record_all(client: Client, keep_s: float, rate_hz: float, name: str, labels: dict[str, str]) -> None:
    began = client.record_all(rate_hz=rate_hz, keep_s=keep_s, name=name, labels=labels)
    for sentence in began.notes[:_MOST_TOLD]:
        output.note(sentence)
    if len(began.notes) > _MOST_TOLD:
        output.note(f"and {len(began.notes) - _MOST_TOLD} more are not sampled")
    count = len(began.sessions)
    which = "1 process is" if count == 1 else f"{count} processes are"
    output.note(f"{which} sampled {rate_hz:g} times a second from outside, and those that come; {_kept(keep_s)}")
    output.write_lines([began.group])
    output.suggest("execctl sessions", "execctl report PID --last 5m", f"execctl stop {began.group}")


def _kept(keep_s: float) -> str:
    return f"the latest {format_duration(round(keep_s * 1000))} are kept"
