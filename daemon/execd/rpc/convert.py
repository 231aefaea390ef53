"""Convert: the daemon's values to messages and back, and nothing else."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from execd_api.v1 import profiles_pb2, reports_pb2, sessions_pb2, targets_pb2

from execd.errors import UsageError
from execd.model.session import SessionSpec, State
from execd.model.stored import Wanted
from execd.model.target import Outcome
from execd.reports import ReportOptions, View
from execd.reports.layout import Layout, layout_of_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from execd.model.attachment import Attachment, Detachment
    from execd.model.overhead import Overhead
    from execd.model.session import OpenGroup, Session
    from execd.model.stored import StoredProfile
    from execd.model.target import Candidate, Check, Target

STATES = MappingProxyType(
    {
        State.STARTING: sessions_pb2.SESSION_STATE_STARTING,
        State.RUNNING: sessions_pb2.SESSION_STATE_RUNNING,
        State.STOPPING: sessions_pb2.SESSION_STATE_STOPPING,
        State.STOPPED: sessions_pb2.SESSION_STATE_STOPPED,
        State.FAILED: sessions_pb2.SESSION_STATE_FAILED,
        State.TARGET_GONE: sessions_pb2.SESSION_STATE_TARGET_GONE,
        State.INTERRUPTED: sessions_pb2.SESSION_STATE_INTERRUPTED,
    }
)

OUTCOMES = MappingProxyType(
    {
        Outcome.PASSED: targets_pb2.OUTCOME_PASSED,
        Outcome.FAILED: targets_pb2.OUTCOME_FAILED,
        Outcome.UNKNOWN: targets_pb2.OUTCOME_UNKNOWN,
        Outcome.UNNEEDED: targets_pb2.OUTCOME_UNNEEDED,
    }
)

VIEWS = MappingProxyType(
    {
        reports_pb2.VIEW_UNSPECIFIED: View.FUNCTIONS,
        reports_pb2.VIEW_CALLERS: View.CALLERS,
        reports_pb2.VIEW_CALLEES: View.CALLEES,
    }
)


def text(value: str) -> str:
    r"""Return a string that a message can carry: what stands for an undecodable byte becomes \xNN.

    Command lines and file names of a target are bytes; Python holds those that are not UTF-8 as lone
    surrogates, and protobuf refuses them.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return "".join(_surrogate_shown(char) if "\ud800" <= char <= "\udfff" else char for char in value)
    return value


def texts(values: Iterable[str]) -> list[str]:
    """Return strings that a message can carry."""
    return [text(value) for value in values]


def target(value: Target) -> targets_pb2.Target:
    """Return the message of a target."""
    return targets_pb2.Target(
        pid=value.key.pid,
        start_ticks=value.key.start_ticks,
        boot_id=value.key.boot_id,
        uid=value.uid,
        command_line=texts(value.command_line),
        executable=text(value.executable),
        python_version=text(value.python_version),
        in_other_root=value.in_other_root,
    )


def candidate(value: Candidate) -> targets_pb2.Candidate:
    """Return the message of a candidate."""
    return targets_pb2.Candidate(
        target=target(value.target),
        user=text(value.user),
        attached=value.attached,
        reason=text(value.reason),
        checks=map(check, value.checks),
        place=text(value.place),
    )


def check(value: Check) -> targets_pb2.Check:
    """Return the message of a check."""
    return targets_pb2.Check(
        name=value.name,
        outcome=OUTCOMES[value.outcome],
        detail=text(value.detail),
        remedy=text(value.remedy),
        exit_code=value.exit_code,
    )


def attachment(value: Attachment) -> targets_pb2.AttachResponse:
    """Return the message of an attachment."""
    return targets_pb2.AttachResponse(
        target=target(value.target),
        sessions=map(session, value.sessions),
        joined=value.joined,
        attach_us=value.attach_us,
        stopped_us=value.stopped_us,
        method=value.method,
        notes=texts(value.notes),
    )


def detachment(value: Detachment) -> targets_pb2.DetachResponse:
    """Return the message of a detachment."""
    return targets_pb2.DetachResponse(
        target=target(value.target),
        sessions=map(session, value.sessions),
        was_attached=value.was_attached,
        residue=texts(value.residue),
    )


def spec(value: SessionSpec) -> sessions_pb2.SessionSpec:
    """Return the message of a spec."""
    return sessions_pb2.SessionSpec(
        collector=value.collector,
        options_json=json.dumps(dict(value.options)),
        labels=value.labels,
        into=value.into,
        children=value.children,
    )


def spec_from(message: sessions_pb2.SessionSpec) -> SessionSpec:
    """Return the spec of a message.

    Raises:
        UsageError: its options are no JSON object.
    """
    options = _object(message.options_json, f"the options of {message.collector!r}")
    return SessionSpec(message.collector, options, dict(message.labels), message.into, message.children)


def specs_from(messages: Iterable[sessions_pb2.SessionSpec]) -> list[SessionSpec]:
    """Return the specs of messages; raises as `spec_from` does."""
    return [spec_from(message) for message in messages]


def overhead(value: Overhead) -> sessions_pb2.Overhead:
    """Return the message of an overhead."""
    return sessions_pb2.Overhead(
        events_per_s=value.events_per_s,
        event_ns=value.event_ns,
        share=value.share,
        span_s=value.span_s,
        recorded=value.recorded,
    )


def session(value: Session, cost: Overhead | None = None) -> sessions_pb2.Session:
    """Return the message of a session, with what it costs its target where that is known."""
    return sessions_pb2.Session(
        id=value.id,
        name=text(value.name),
        group=value.group,
        pid=value.target.key.pid,
        command_line=texts(value.target.command_line),
        python_version=text(value.target.python_version),
        spec=spec(value.spec),
        form=value.form,
        state=STATES[value.state],
        started_at=value.started_at,
        ended_at=value.ended_at,
        reason=text(value.reason),
        caveats=texts(value.caveats),
        latest_profile=value.latest_profile,
        overhead=None if cost is None else overhead(cost),
    )


def open_group(value: OpenGroup) -> sessions_pb2.OpenGroup:
    """Return a group that processes come to as a message."""
    return sessions_pb2.OpenGroup(id=value.id, name=value.name, spec=spec(value.spec), started_at=value.started_at)


def stored_profile(value: StoredProfile) -> profiles_pb2.Profile:
    """Return the message of a stored profile."""
    return profiles_pb2.Profile(
        id=value.id,
        name=text(value.name),
        session=value.session,
        collector=value.collector,
        reason=value.reason,
        started_at=value.started_at,
        ended_at=value.ended_at,
        nodes=value.nodes,
        stored_bytes=value.stored_bytes,
        pid=value.pid,
        labels=value.labels,
        running=value.running,
    )


def wanted(message: profiles_pb2.ListProfilesRequest) -> Wanted:
    """Return which profiles a list is to have.

    Raises:
        UsageError: an age is none.
    """
    if not all(0 <= age < math.inf for age in (message.max_age_s, message.min_age_s)):
        raise UsageError("an age is no number of seconds", remedy="give one of 0 or more")
    return Wanted(message.collector, dict(message.labels), message.max_age_s, message.min_age_s)


def report_options(message: reports_pb2.RenderRequest, source: Callable[[str], bytes | None]) -> ReportOptions:
    """Return the options of a report, `source` among them.

    Raises:
        UsageError: a view of a newer client, or settings that are no JSON object.
    """
    if message.view not in VIEWS:
        raise UsageError(f"this execd knows no view {message.view}", remedy="restart the daemon after an update")
    return ReportOptions(
        sort=tuple(message.sort),
        reverse=message.reverse,
        limits=tuple(message.limit),
        view=VIEWS[message.view],
        strip_dirs=message.strip_dirs,
        thread=message.thread,
        per_thread=message.per_thread,
        per_process=message.per_process,
        layout=_layout(message.layout),
        settings=_object(message.settings_json, "the settings of a report"),
        source=source,
    )


def _layout(message: reports_pb2.Layout) -> Layout:
    return Layout(
        width=0 if message.wide else layout_of_width(message.width),
        has_color=message.color,
        is_ascii=message.ascii,
        has_header=not message.no_header,
    )


def _object(text: str, what: str) -> dict[str, object]:
    try:
        value = json.loads(text or "{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} are no JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{what} are no JSON object")
    return value


def _surrogate_shown(char: str) -> str:
    # PEP 383: the bytes 0x80 to 0xFF; other surrogates come from no byte.
    is_byte = "\udc80" <= char <= "\udcff"
    return f"\\x{ord(char) & 0xFF:02x}" if is_byte else f"\\u{ord(char):04x}"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")
