"""Status: what an error becomes on the wire, a gRPC status and an ErrorDetail in the trailing metadata."""

from __future__ import annotations

from types import MappingProxyType

import grpc
from execd_api.v1 import daemon_pb2 as pb

from execd import errors
from execd.rpc.convert import text

DETAIL_KEY = "execd-error-bin"

# A new error is added here too: a test holds the table against errors.py.
# UNAVAILABLE is left to gRPC itself, so that a client may take it for "no daemon".
CODES = MappingProxyType(
    {
        errors.ExecdError: grpc.StatusCode.INTERNAL,
        errors.UsageError: grpc.StatusCode.INVALID_ARGUMENT,
        errors.Ambiguous: grpc.StatusCode.INVALID_ARGUMENT,
        errors.AlreadyRunning: grpc.StatusCode.ALREADY_EXISTS,
        errors.TargetGone: grpc.StatusCode.NOT_FOUND,
        errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
        errors.NotSupported: grpc.StatusCode.FAILED_PRECONDITION,
        errors.AttachTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
        errors.AttachBusy: grpc.StatusCode.ABORTED,
        errors.AgentFailed: grpc.StatusCode.ABORTED,
        errors.AgentSilent: grpc.StatusCode.ABORTED,
        errors.CollectorRefused: grpc.StatusCode.FAILED_PRECONDITION,
        errors.NotFound: grpc.StatusCode.NOT_FOUND,
        errors.StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
        errors.StoreUnusable: grpc.StatusCode.RESOURCE_EXHAUSTED,
        errors.ProfileCorrupt: grpc.StatusCode.DATA_LOSS,
        errors.StoreTooNew: grpc.StatusCode.FAILED_PRECONDITION,
        errors.SocketPathTooLong: grpc.StatusCode.INVALID_ARGUMENT,
        errors.UnsafeDirectory: grpc.StatusCode.PERMISSION_DENIED,
        errors.DataDirectoryInUse: grpc.StatusCode.ALREADY_EXISTS,
        errors.DaemonFailed: grpc.StatusCode.INTERNAL,
        errors.TooManyStreams: grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)

# gRPC ends a call with an error of its own when its metadata pass 8 KiB. The detail travels as base64, and
# the message once more as the percent-encoded status: 4 KiB and 200 characters stay below that together.
MESSAGE_MAX_BYTES = 1000
REMEDY_MAX_BYTES = 600
FACT_MAX_BYTES = 300
FACTS_MAX_BYTES = 2000
STATUS_MAX_CHARS = 200


def code_of(error: errors.ExecdError) -> grpc.StatusCode:
    """Return the gRPC status of an error: that of its class, else of the nearest class above."""
    kinds = (kind for kind in type(error).__mro__ if issubclass(kind, errors.ExecdError))
    return next(CODES[kind] for kind in kinds if kind in CODES)


def detail_of(error: errors.ExecdError) -> pb.ErrorDetail:
    """Return an error as it travels, cut to what gRPC's metadata can carry."""
    return pb.ErrorDetail(
        kind=error.kind,
        message=_cut(error.message, MESSAGE_MAX_BYTES),
        remedy=_cut(error.remedy, REMEDY_MAX_BYTES),
        facts=_bounded(error.facts),
        exit_code=error.exit_code,
    )


def summary_of(error: errors.ExecdError) -> str:
    """Return the message for the gRPC status, for tools that know no ErrorDetail: printable ASCII."""
    return "".join(char if " " <= char <= "~" else "?" for char in error.message[:STATUS_MAX_CHARS])


def _bounded(facts: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = FACTS_MAX_BYTES
    for name, value in facts.items():
        shown = _cut(value, FACT_MAX_BYTES)
        room -= len(name.encode()) + len(shown.encode())
        if room < 0:
            break
        kept[name] = shown
    return kept


def _cut(value: str, max_bytes: int) -> str:
    encoded = text(value).encode()
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - len("…".encode())].decode(errors="ignore") + "…"
