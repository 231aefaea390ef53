"""Cli: the commands `execd start`, `stop` and `status`."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING

import click

from execd import __version__, instance, launcher
from execd.config import Config, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from execd.rpc.peer import DaemonInfo

STATUS_TIMEOUT_S = 2.0
NO_DAEMON = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="execd")
def execd() -> None:
    """Keep the daemon that attaches to Python processes; `execctl` is what talks to it."""


def _places(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --data-dir and --socket."""
    data_dir = click.option(
        "--data-dir",
        type=click.Path(),
        help="Where profiles and the log are kept [EXECD_DATA_DIR; $XDG_STATE_HOME/execd].",
    )
    socket = click.option(
        "--socket",
        type=click.Path(),
        help="The unix socket to serve on [EXECD_SOCKET; $XDG_RUNTIME_DIR/execd/execd.sock].",
    )
    return data_dir(socket(command))


@execd.command()
@click.option("--foreground", is_flag=True, help="Stay in this terminal; Ctrl-C ends it.")
@_places
@click.pass_obj
def start(serve: Callable[[Config], None], *, foreground: bool, data_dir: str | None, socket: str | None) -> None:
    """Start the daemon, and return when it serves."""
    places = resolve(os.environ, data_dir=data_dir, socket=socket)
    if foreground:
        serve(places)
        return
    launched = launcher.start(places, _serving)
    verb = "runs" if launched.is_new else "already runs"
    click.echo(f"execd {verb}: PID {launched.pid}, socket {places.socket}")


@execd.command()
@_places
def stop(*, data_dir: str | None, socket: str | None) -> None:
    """Stop and save every session, leave every target, and end the daemon."""
    pid = launcher.stop(resolve(os.environ, data_dir=data_dir, socket=socket))
    click.echo("execd does not run" if pid is None else f"execd ended: PID {pid}")


@execd.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_places
@click.pass_context
def status(context: click.Context, *, as_json: bool, data_dir: str | None, socket: str | None) -> None:
    """Tell whether the daemon runs; the exit code is 3 when it does not serve."""
    places = resolve(os.environ, data_dir=data_dir, socket=socket)
    pid = instance.holder(places.socket_lock)
    info = _info(places.socket) if pid is not None else None
    facts = _facts(places, pid, info)
    click.echo(json.dumps(facts) if as_json else _lines(facts))
    if info is None:
        context.exit(NO_DAEMON)


def _facts(places: Config, pid: int | None, info: DaemonInfo | None) -> dict[str, object]:
    facts: dict[str, object] = {"running": pid is not None, "serving": info is not None, "pid": pid}
    facts |= {"socket": os.fspath(places.socket), "data_dir": os.fspath(places.data_dir)}
    return facts | (dataclasses.asdict(info) if info else {})


def _lines(facts: dict[str, object]) -> str:
    silent = "runs and does not answer" if facts["running"] else "does not run"
    shown = {name: value for name, value in facts.items() if name not in {"running", "serving"}}
    if isinstance(started_at := shown.get("started_at"), float):
        shown["started_at"] = datetime.fromtimestamp(started_at).astimezone().isoformat(timespec="seconds")
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in shown.items() if value is not None]
    return "\n".join([f"execd {'serves' if facts['serving'] else silent}", *lines])


# grpc is imported by these two alone: help stays quick, and `start` forks before gRPC has threads.
def _serving(socket: Path, timeout_s: float) -> int | None:
    from execd.rpc import peer  # noqa: PLC0415

    return peer.serving(socket, timeout_s)


def _info(socket: Path) -> DaemonInfo | None:
    from execd.rpc import peer  # noqa: PLC0415

    return peer.info(socket, STATUS_TIMEOUT_S)
