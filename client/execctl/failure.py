"""From a failed call to the error that the user sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from execd_api.v1.daemon_pb2 import ErrorDetail
from google.protobuf.message import DecodeError

from execctl.errors import BY_KIND, ClientError
from execctl.exits import ExitCode
from execctl.silence import find_listener

if TYPE_CHECKING:
    from collections.abc import Mapping

# The trailing metadata entry that the daemon adds to every failed call.
ERROR_DETAIL_KEY = "execd-error-bin"
MAX_EXIT_CODE = 255


def client_error(error: grpc.RpcError, socket: str) -> ClientError:
    """Return what the daemon said went wrong, or what its silence means.

    Args:
        error: what the call raised.
        socket: path of the daemon's socket, for the message.
    """
    if not isinstance(error, grpc.Call):
        return _without_detail(None, str(error), socket)
    detail = _detail(error)
    return _without_detail(error.code(), error.details() or "", socket) if detail is None else _told(detail)


def _detail(call: grpc.Call) -> ErrorDetail | None:
    for key, value in call.trailing_metadata() or ():
        if key == ERROR_DETAIL_KEY and isinstance(value, bytes):
            try:
                return ErrorDetail.FromString(value)
            except DecodeError:
                return None
    return None


def _told(detail: ErrorDetail) -> ClientError:
    known = 0 < detail.exit_code <= MAX_EXIT_CODE
    exit_code = detail.exit_code if known else ExitCode.INTERNAL
    return _error(detail.kind, detail.message, detail.remedy, dict(detail.facts), exit_code)


def _without_detail(code: grpc.StatusCode | None, details: str, socket: str) -> ClientError:
    facts = {"socket": socket, "status": code.name if code else "", "details": details}
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            message, kind, remedy = _unavailable(details, socket)
            exit_code = ExitCode.NO_DAEMON
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"the daemon on {socket} did not answer in time"
            kind, exit_code, remedy = (
                "daemon_silent",
                ExitCode.NO_DAEMON,
                "`execd status` tells whether it is well",
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            message = f"the daemon on {socket} does not know this call: {details}"
            kind, exit_code = "daemon_too_old", ExitCode.INTERNAL
            remedy = "it is older than this execctl: restart it with `execd stop` and `execd start`"
        case _:
            message = f"the call to the daemon on {socket} failed: {details}"
            kind, exit_code, remedy = (
                "internal",
                ExitCode.INTERNAL,
                "the daemon's log tells more: `execd status`",
            )
    return _error(kind, message, remedy, facts, exit_code)


def _error(kind: str, message: str, remedy: str, facts: Mapping[str, str], exit_code: int) -> ClientError:
    """Return the error of a kind; one that only a newer daemon knows is of the root of the tree."""
    found = BY_KIND.get(kind, ClientError)
    return found(message, remedy=remedy, facts=facts, kind=kind, exit_code=exit_code)


def _unavailable(details: str, socket: str) -> tuple[str, str, str]:
    """Return message, kind and remedy for a daemon that cannot be reached."""
    found = find_listener(socket)
    if found is None or not found.is_full:
        return f"the daemon on {socket} is gone: {details}", "no_daemon", "start it again with `execd start`"
    which = f"(PID {found.pid})" if found.pid else f"on {socket}"
    if found.is_stopped:
        message = f"the daemon {which} is stopped, and so many commands wait for it that no more can"
        return message, "daemon_silent", f"`kill -CONT {found.pid}` lets it go on, `execd stop` ends it"
    message = f"the daemon {which} accepts no connections, and so many commands wait for it that no more can"
    return message, "daemon_silent", "`execd status` tells whether it is well, `execd stop` ends it"
