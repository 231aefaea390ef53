"""From a failed call to the error that the user sees."""

from __future__ import annotations

import grpc
from execd_api.v1.daemon_pb2 import ErrorDetail
from google.protobuf.message import DecodeError

from execctl.errors import ClientError
from execctl.exits import ExitCode

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
    return ClientError(
        detail.message,
        kind=detail.kind,
        exit_code=detail.exit_code if known else ExitCode.INTERNAL,
        remedy=detail.remedy,
        facts=dict(detail.facts),
    )


def _without_detail(code: grpc.StatusCode | None, details: str, socket: str) -> ClientError:
    facts = {"socket": socket, "status": code.name if code else "", "details": details}
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            message = f"the daemon on {socket} is gone: {details}"
            kind, exit_code, remedy = "no_daemon", ExitCode.NO_DAEMON, "start it again with `execd start`"
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
    return ClientError(message, kind=kind, exit_code=exit_code, remedy=remedy, facts=facts)
