"""From the messages of the contract to the values of the API."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from execctl.api.frame import Frame
from execctl.api.live_memory import LiveMemory, LiveObject
from execctl.api.process import Check, Process
from execctl.api.session import Attachment, Detachment, Session, TracedLines
from execctl.api.stored import Labelled, Merged, StoredProfile

if TYPE_CHECKING:
    from execd_api.v1 import profiles_pb2, sessions_pb2, targets_pb2

_US_A_SECOND = 1e6
# The names of SessionState without their prefix, in its order.
STATES = (
    "unspecified",
    "starting",
    "running",
    "stopping",
    "stopped",
    "failed",
    "target_gone",
    "interrupted",
)
# The names of Outcome, in its order.
OUTCOMES = ("unspecified", "pass", "fail", "not known", "not needed")


def outcome_name(check: targets_pb2.Check) -> str:
    """Return what came of a check; an outcome that a newer daemon added is "unspecified"."""
    return OUTCOMES[check.outcome] if check.outcome < len(OUTCOMES) else OUTCOMES[0]


def state_name(session: sessions_pb2.Session) -> str:
    """Return where the session stands, "target_gone"; a state that a newer daemon added is "unspecified"."""
    return STATES[session.state] if session.state < len(STATES) else STATES[0]


def process(candidate: targets_pb2.Candidate) -> Process:
    """Return a process."""
    found = _target(candidate.target, attached=candidate.attached)
    checks = tuple(map(_check, candidate.checks))
    return replace(found, user=candidate.user, reason=candidate.reason, checks=checks, place=candidate.place)


def session(message: sessions_pb2.Session) -> Session:
    """Return a session."""
    return Session(
        id=message.id,
        name=message.name,
        group=message.group,
        pid=message.pid,
        command_line=tuple(message.command_line),
        python_version=message.python_version,
        collector=message.spec.collector,
        options=json.loads(message.spec.options_json or "{}"),
        labels=dict(message.spec.labels),
        into=message.spec.into,
        children=message.spec.children,
        form=message.form,
        state=state_name(message),
        started_at=message.started_at,
        ended_at=message.ended_at or None,
        reason=message.reason,
        caveats=tuple(message.caveats),
        latest_profile=message.latest_profile,
    )


def attachment(message: targets_pb2.AttachResponse) -> Attachment:
    """Return what an attach did."""
    return Attachment(
        target=_target(message.target, attached=True),
        sessions=tuple(map(session, message.sessions)),
        joined=message.joined,
        attach_s=message.attach_us / _US_A_SECOND,
        stopped_s=message.stopped_us / _US_A_SECOND,
        method=message.method,
        notes=tuple(message.notes),
    )


def detachment(message: targets_pb2.DetachResponse) -> Detachment:
    """Return what a detach did."""
    return Detachment(
        target=_target(message.target, attached=False),
        sessions=tuple(map(session, message.sessions)),
        was_attached=message.was_attached,
        residue=tuple(message.residue),
    )


def traced_lines(chunk: sessions_pb2.FollowChunk) -> TracedLines:
    """Return some events of a trace."""
    return TracedLines(chunk.session, chunk.text, chunk.end, chunk.lost)


def stored(message: profiles_pb2.Profile) -> StoredProfile:
    """Return a stored profile."""
    return StoredProfile(
        id=message.id,
        name=message.name,
        session=message.session,
        collector=message.collector,
        reason=message.reason,
        pid=message.pid,
        started_at=message.started_at,
        ended_at=message.ended_at,
        nodes=message.nodes,
        stored_bytes=message.stored_bytes,
        running=message.running,
        labels=dict(message.labels),
    )


def merged(message: profiles_pb2.MergeResponse) -> Merged:
    """Return a sum."""
    return Merged(stored(message.profile), tuple(map(stored, message.parts)))


def labelled(message: profiles_pb2.LabelResponse) -> Labelled:
    """Return what has other labels."""
    return Labelled(message.id, dict(message.labels))


def live_memory(message: targets_pb2.MemoryResponse) -> LiveMemory:
    """Return what a memory session answered."""
    return LiveMemory(
        message.pid,
        message.session,
        dict(message.figures),
        message.count,
        message.size_bytes,
        tuple(map(_live_object, message.objects)),
    )


def _target(target: targets_pb2.Target, *, attached: bool) -> Process:
    return Process(
        pid=target.pid,
        start_ticks=target.start_ticks,
        boot_id=target.boot_id,
        uid=target.uid,
        user="",
        command_line=tuple(target.command_line),
        executable=target.executable,
        python_version=target.python_version,
        in_other_root=target.in_other_root,
        attached=attached,
        reason="",
        checks=(),
        place="",
    )


def _check(check: targets_pb2.Check) -> Check:
    return Check(check.name, outcome_name(check), check.detail, check.remedy, check.exit_code)


def _live_object(one: targets_pb2.LiveObject) -> LiveObject:
    frames = tuple(Frame(frame.file, frame.line) for frame in one.frames)
    return LiveObject(one.type, one.size_bytes, one.is_traced, frames)
