"""Cli: the commands `execd start`, `stop` and `status`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from execd import __version__, instance, keeping, launcher
from execd.config import Config, resolve
from execd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from execd.rpc.peer import DaemonInfo

STATUS_TIMEOUT_S = 2.0
NO_DAEMON = 3
LISTED = 5


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


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback of click's that reads a value and says what is wrong with it."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return read


@execd.command()
@click.option("--foreground", is_flag=True, help="Stay in this terminal; Ctrl-C ends it.")
@click.option(
    "--keep-days",
    metavar="N",
    callback=_parsed(keeping.parse_days),
    help="Profiles that are older go [as at the last start with it; 30].",
)
@click.option(
    "--keep-bytes",
    metavar="SIZE",
    callback=_parsed(keeping.parse_size),
    help="The oldest profiles go where all are bigger together, 500MB [as at the last start with it; 2GB].",
)
@_places
@click.pass_obj
def start(
    serve: Callable[[Config], None],
    /,
    *,
    foreground: bool,
    keep_days: float | None,
    keep_bytes: int | None,
    data_dir: str | None,
    socket: str | None,
) -> None:
    """Start the daemon, and return when it serves."""
    found = resolve(os.environ, data_dir=data_dir, socket=socket)
    places = dataclasses.replace(found, keep_days=keep_days, keep_bytes=keep_bytes)
    if foreground:
        serve(places)
        return
    launched = launcher.start(places, _serving)
    if not launched.is_new:
        _refuse_other_keeping(places, launched.pid)
    verb = "runs" if launched.is_new else "already runs"
    _say(f"execd {verb}: PID {launched.pid}, socket {places.socket}")
    if launched.quarantined:
        # execctl passes on what begins like this.
        click.echo(f"execd: the store was not whole: {_put_aside(places, launched.quarantined)}", err=True)


@execd.command()
@_places
def stop(*, data_dir: str | None, socket: str | None) -> None:
    """Stop and save every session, leave every target, and end the daemon."""
    pid = launcher.stop(resolve(os.environ, data_dir=data_dir, socket=socket))
    _say("execd does not run" if pid is None else f"execd ended: PID {pid}")


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
    aside = launcher.quarantined(places)
    if as_json:
        _say(json.dumps(facts | {"quarantined": aside}))
    else:
        _say("\n".join([_lines(facts), *([f"quarantine: {_put_aside(places, aside)}"] if aside else [])]))
    if info is None:
        context.exit(NO_DAEMON)


def _refuse_other_keeping(places: Config, pid: int) -> None:
    """Refuse what a daemon that runs already does not do: it was told at its own start how long to keep profiles."""
    info = _info(places.socket)
    asked = (places.keep_days, places.keep_bytes)
    kept = (info.keep_days, info.keep_bytes) if info else asked
    if all(one in (None, other) for one, other in zip(asked, kept, strict=True)):
        return
    raise UsageError(
        f"execd runs already, PID {pid}, and keeps profiles for {kept[0]:g} days and up to {kept[1]} bytes",
        remedy="stop it first: execd stop",
        pid=pid,
    )


def _facts(places: Config, pid: int | None, info: DaemonInfo | None) -> dict[str, object]:
    facts: dict[str, object] = {"running": pid is not None, "serving": info is not None, "pid": pid}
    facts |= {"socket": os.fspath(places.socket), "data_dir": os.fspath(places.data_dir)}
    return facts | (dataclasses.asdict(info) if info else {})


def _lines(facts: dict[str, object]) -> str:
    silent = "runs and does not answer" if facts["running"] else "does not run"
    shown = {name: value for name, value in facts.items() if name not in {"running", "serving"}}
    if isinstance(started_at := shown.get("started_at"), float):
        shown["started_at"] = datetime.fromtimestamp(started_at).astimezone().isoformat(timespec="seconds")
    if isinstance(days := shown.get("keep_days"), float):
        shown["keep_days"] = f"{days:g}"
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in shown.items() if value is not None]
    return "\n".join([f"execd {'serves' if facts['serving'] else silent}", *lines])


def _put_aside(places: Config, names: Sequence[str]) -> str:
    listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    return (
        f"what was damaged, or belongs to no session, was moved to {places.quarantine} and is not listed any more: "
        f"{listed} (files: {len(names)}). Look at it, then remove it"
    )


def _say(text: str) -> None:
    """Print to stdout. A reader that went away is no error; a disk that is full is one."""
    # A descriptor that was closed before the start (>&-) leaves no stream at all.
    if sys.stdout is None:
        raise UsageError("cannot write to standard output: it is closed")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer must go somewhere, or the interpreter complains when it ends.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"cannot write to standard output: {error.strerror}") from error


# grpc is imported by these two alone: help stays quick, and `start` forks before gRPC has threads.
def _serving(socket: Path, timeout_s: float) -> int | None:
    from execd.rpc import peer  # noqa: PLC0415

    return peer.serving(socket, timeout_s)


def _info(socket: Path) -> DaemonInfo | None:
    from execd.rpc import peer  # noqa: PLC0415

    return peer.info(socket, STATUS_TIMEOUT_S)
