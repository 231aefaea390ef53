"""The service Runs: programs that are started for their sessions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from execd_api.v1 import runs_pb2 as pb
from execd_api.v1 import runs_pb2_grpc

from execd.attach.startup import Places
from execd.rpc import convert

if TYPE_CHECKING:
    import grpc

    from execd.sessions.runs import Runs


class RunsServicer(runs_pb2_grpc.RunsServicer):
    """Answers the calls of Runs."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def Prepare(self, request: pb.PrepareRequest, context: grpc.ServicerContext) -> pb.PrepareResponse:
        """Make ready for a program."""
        del context
        python_path = request.python_path if request.HasField("python_path") else None
        places = Places(request.channel_descriptor, request.archive_descriptor, python_path)
        specs = convert.specs_from(request.sessions)
        prepared = self._runs.prepare(specs, request.name, request.python_version, places)
        return pb.PrepareResponse(
            token=prepared.token,
            socket=os.fspath(prepared.socket),
            archive=prepared.archive,
            dead_man_s=prepared.dead_man_s,
        )

    def Outcome(self, request: pb.OutcomeRequest, context: grpc.ServicerContext) -> pb.OutcomeResponse:
        """Return what came of it."""
        del context
        sessions, failure = self._runs.outcome(request.token)
        return pb.OutcomeResponse(sessions=map(convert.session, sessions), failure=convert.text(failure))
