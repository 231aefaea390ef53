"""`execctl attach`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from execctl import output
from execctl.descendants import children_option, taken, with_children
from execctl.durations import parse_duration_ms
from execctl.errors import UsageError
from execctl.keeping import keeping_options, kept
from execctl.modes import TIMING, asked_specs, mode_list, mode_options
from execctl.quantities import quantity
from execctl.recording import record, tell_overhead, traced
from execctl.sizes import parse_size_bytes
from execctl.suggestions import while_running
from execctl.waiting import Waiting

if TYPE_CHECKING:
    from execctl.api.recording import Recording
    from execctl.api.session import Attachment
    from execctl.client import Client
    from execctl.connection import Connection


@click.command("attach")
@click.argument("target", metavar="PID|NAME")
@mode_options
@click.option(
    "--duration",
    metavar="DURATION",
    callback=quantity(parse_duration_ms),
    help="Record for so long (30s, 5m), show the top, stop and leave.",
)
@click.option(
    "--max-memory",
    metavar="SIZE",
    callback=quantity(parse_size_bytes),
    help="Memory that the recording may take in the target: 32MB; never over a quarter of what its limits leave.",
)
@click.option(
    "--attach-timeout",
    metavar="DURATION",
    callback=quantity(parse_duration_ms),
    default="10s",
    show_default=True,
    help="How long the target may take to reach a point at which it can be attached to.",
)
@click.option(
    "--allow-seccomp",
    is_flag=True,
    help="Attach under seccomp filters that execd may not read too; they may end the process.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Record beside cProfile, coverage.py or another tool written in C too (3.9 to 3.11): execd calls it.",
)
@click.option("--name", default="", help="What to call the session.")
@keeping_options
@children_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    target: str,
    duration: int | None,
    max_memory: int | None,
    attach_timeout: int,
    allow_seccomp: bool,
    force: bool,
    name: str,
    labels: dict[str, str],
    into: str,
    children: bool,
    **given: Any,
) -> None:
    """Attach to a process and start measuring.

    The process needs no preparation. A name may stand for the PID where it fits one process alone. Without
    --duration the session goes on until `execctl stop` or `execctl detach`, a trace until Ctrl-C.
    """
    memory = {} if max_memory is None else {"max_memory_bytes": max_memory}
    specs = asked_specs(given, {**memory, **({"force": True} if force else {})})
    if not specs:
        _refuse_without_mode(target)
    connection: Connection = ctx.obj
    with connection.open() as client:
        recording = client.attach(
            target,
            with_children(kept(specs, labels, into), children=children),
            timeout_s=attach_timeout / 1000,
            name=name,
            allow_seccomp=allow_seccomp,
            duration_s=(duration or 0) / 1000,
            on_wait=Waiting(target, attach_timeout).tell,
        )
        _tell_attached(recording.attachment, name)
        if duration is None and not traced(recording):
            _tell_running(client, recording)
        else:
            ctx.exit(record(client, recording, duration, timing=given[TIMING.parameter]))


def _refuse_without_mode(target: str) -> None:
    raise UsageError(f"attach to {target}, to do what? No mode is given", remedy=f"the modes:\n{mode_list()}")


def _tell_attached(attached: Attachment, name: str) -> None:
    target = attached.target
    which = f"process {target.pid} (Python {target.python_version or 'of unknown version'})"
    if attached.method == "outside":
        output.note(f"sampling {which} from outside after {attached.attach_s * 1000:.1f} ms; nothing was put into it")
    elif attached.joined:
        output.note(f"joined the agent that is in {which}: recording after {attached.attach_s * 1000:.1f} ms")
    else:
        output.note(
            f"attached to {which} by {attached.method}: recording after {attached.attach_s * 1000:.1f} ms, "
            f"its threads stopped for {attached.stopped_s * 1000:.2f} ms"
        )
    if name and any(name not in session.name for session in attached.sessions):
        output.note(f"the daemon did not take the name {name}: it is older than this execctl")
    for sentence in attached.notes:
        output.note(sentence)


def _tell_running(client: Client, attached: Recording) -> None:
    output.write_lines(session.id for session in attached.sessions)
    tell_overhead(client, attached)
    for session in attached.sessions:
        for caveat in session.caveats:
            output.note(f"{session.id}: {caveat}")
    if any(session.children for session in attached.sessions):
        for sentence in taken(client, attached.sessions):
            output.note(sentence)
    for session in attached.sessions:
        output.suggest(*while_running(session.id, session.collector))
    only = attached.sessions[0].id if len(attached.sessions) == 1 else attached.target.pid
    leave = () if attached.attachment.method == "outside" else (f"execctl detach {attached.target.pid}",)
    output.suggest(f"execctl stop {only}", *leave)
