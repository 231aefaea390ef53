"""`execd`: the only place that builds the daemon's objects and wires them."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from execd import cli, descriptors, keeping, logs
from execd.endings import Endings
from execd.errors import AlreadyRunning, DataDirectoryInUse, ExecdError
from execd.instance import Instance

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from execd.config import Config
    from execd.rpc.server import Server
    from execd.store.store import Store

# With SIGHUP, so that the end of a terminal under `--foreground` saves what runs, too.
END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# An end takes 5 s at most, the interpreter's own end included.
END_DEADLINE_S = 4.8
# Everything the daemon makes is for its user alone: the socket, the store, the log.
PRIVATE_UMASK = 0o077


def main() -> None:
    """Run the command `execd`, and say what went wrong in a line or two."""
    try:
        cli.execd(obj=serve)
    except ExecdError as error:
        sys.stderr.write("\n".join(filter(None, [f"execd: {error.message}", error.remedy])) + "\n")
        sys.exit(error.exit_code)


def serve(config: Config) -> None:
    """Be the daemon, until a signal or the call Shutdown ends it.

    Args:
        config: its places.

    Raises:
        AlreadyRunning: another one serves there.
        ExecdError: the places cannot be used.
        SystemExit: one of these in the background, where the log is told.
    """
    try:
        _serve_to_the_end(config)
    except Exception as error:
        if not logs.is_stderr(config.log):
            raise
        logs.write_failure(error)
        sys.exit(error.exit_code if isinstance(error, ExecdError) else ExecdError.exit_code)


def _serve_to_the_end(config: Config) -> None:
    os.umask(PRIVATE_UMASK)
    with ExitStack() as closing:
        claim = closing.enter_context(Instance(config))
        log = logs.open_log(config.log)
        closing.callback(logs.close_log)
        threading.excepthook = logs.thread_crash_logger(log)
        endings = Endings(END_SIGNALS)
        closing.callback(endings.close)
        try:
            server = build(config, log, endings.shut_down, closing)
        except ExecdError:
            claim.withdraw()
            raise
        server.start()
        log.info("execd serves", extra={"facts": {"pid": os.getpid(), "socket": config.socket}})
        cause = endings.wait()
        # A C thread that needs no GIL: whatever hangs, its stack goes to stderr and the process ends.
        faulthandler.dump_traceback_later(END_DEADLINE_S, exit=True)
        log.info("execd ends", extra={"facts": {"cause": cause}})
        server.refuse()


def build(config: Config, log: logging.Logger, shut_down: Callable[[], None], closing: ExitStack) -> Server:
    """Make the daemon's objects.

    The attacher's helper process starts before grpc is imported: gRPC's threads do not survive a fork.

    Args:
        config: the daemon's places, claimed.
        log: where the daemon writes to.
        shut_down: asks for the daemon's end.
        closing: gets what has to be closed, sessions first and the store last.

    Returns:
        The server, bound and not started.
    """
    from execd.attach.attacher import Attacher  # noqa: PLC0415 - not for help, stop and status
    from execd.sessions.housekeeping import Housekeeper  # noqa: PLC0415 - the same
    from execd.sessions.registry import Registry  # noqa: PLC0415 - the same
    from execd.sessions.runs import Runs  # noqa: PLC0415 - the same

    store = _open_store(config)
    closing.callback(store.close)
    allowance = descriptors.raise_limit()
    log.info("files that may be open", extra={"facts": {"now": allowance.now, "before": allowance.before}})
    attacher = Attacher(files_limit=allowance.before)
    attacher.start()
    closing.callback(attacher.close)
    registry = Registry(store, attacher, time.time)
    from execd.rpc.server import Server  # noqa: PLC0415 - imports grpc

    server = Server(config, registry, store, started_at=time.time(), shut_down=shut_down, log=log)
    closing.callback(server.close)
    closing.callback(registry.close)
    runs = Runs(registry, store, config.agents_socket, attacher.dead_man_s, time.time)
    server.add_runs(runs)
    closing.callback(runs.close)
    housekeeper = Housekeeper(store)
    closing.callback(housekeeper.close)
    housekeeper.start()
    return server


def _open_store(config: Config) -> Store:
    from execd.store.store import Store  # noqa: PLC0415 - not for help, stop and status

    retention = keeping.decided(config)
    try:
        store = Store.open(config.data_dir, retention=retention)
    except AlreadyRunning as error:
        # To a start "runs already" is good news; a daemon on another socket is not what was asked for.
        raise DataDirectoryInUse(error.message, remedy=error.remedy, **error.facts) from error
    if (config.keep_days, config.keep_bytes) != (None, None):
        keeping.remember(config.data_dir, retention)
    return store


if __name__ == "__main__":
    main()
