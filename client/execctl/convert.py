"""From the messages of the contract to the values of the API."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from execctl.api.dump import AwaitingTask, Dump, StackFrame, ThreadStack
from execctl.api.everyone import OpenGroup
from execctl.api.frame import Frame
from execctl.api.live_memory import LiveMemory, LiveObject
from execctl.api.process import Check, Process
from execctl.api.session import Attachment, Detachment, Overhead, Session, TracedLines
from execctl.api.stored import Labelled, Merged, StoredProfile
from execctl.api.windows import STATES as SAMPLED_STATES
from execctl.api.windows import SampleWindow, ViewCounts, WindowPlace, WindowRow, WindowThread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
# The names of ThreadState, in its order.
THREAD_STATES = ("", "running_with_gil", "running_without", "waiting_with_gil", "waiting_for_gil", "waiting")
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


def overhead(message: sessions_pb2.Overhead) -> Overhead:
    """Return what recording costs."""
    share = message.share if message.HasField("share") else None
    # A daemon that is older records all of the time.
    return Overhead(message.events_per_s, message.event_ns, share, message.span_s, message.recorded or 1.0)


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
        overhead=overhead(message.overhead) if message.HasField("overhead") else None,
    )


def open_group(message: sessions_pb2.OpenGroup) -> OpenGroup:
    """Return a group that processes come to."""
    spec = message.spec
    options = json.loads(spec.options_json or "{}")
    return OpenGroup(message.id, message.name, spec.collector, options, dict(spec.labels), message.started_at)


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


def dump(message: targets_pb2.DumpResponse) -> Dump:
    """Return where the threads of a process are."""
    return Dump(
        process=_target(message.target, attached=False),
        taken_at=message.taken_at,
        threads=tuple(_thread_stack(one, message.functions) for one in message.threads),
        stopped=message.stopped,
        notes=tuple(message.notes),
        tasks=tuple(_task(one, message.functions) for one in message.tasks),
    )


def sample_windows(messages: Iterable[sessions_pb2.SampleWindow]) -> Iterator[SampleWindow]:
    """Yield the windows of one stream."""
    functions: list[sessions_pb2.SampledFunction] = []
    for message in messages:
        functions.extend(message.new_functions)
        yield SampleWindow(
            session=message.session,
            started_at=message.started_at,
            ended_at=message.ended_at,
            asked_hz=message.asked_hz,
            turns=message.turns,
            states=_by_state(message.states),
            verified=message.verified,
            unsettled=message.unsettled,
            lost=message.lost,
            functions=tuple(_window_rows(message.functions, functions)),
            lines=tuple(_window_rows(message.lines, functions)),
            threads=tuple(_window_thread(one, functions) for one in message.threads),
            standstill=message.standstill,
        )


def _window_rows(
    rows: sessions_pb2.SampleRows, functions: Sequence[sessions_pb2.SampledFunction]
) -> Iterator[WindowRow]:
    lines = rows.lines or [0] * len(rows.functions)
    own = map(ViewCounts, rows.own_wall, rows.own_cpu, rows.own_gil)
    total = map(ViewCounts, rows.total_wall, rows.total_cpu, rows.total_gil)
    for number, line, *counts in zip(rows.functions, lines, own, total, strict=True):
        yield WindowRow(_window_place(functions[number], line), *counts)


def _window_place(function: sessions_pb2.SampledFunction, line: int) -> WindowPlace:
    return WindowPlace(function.name, function.file, function.first_line, line)


def _window_thread(
    thread: sessions_pb2.SampledThread, functions: Sequence[sessions_pb2.SampledFunction]
) -> WindowThread:
    place = _window_place(functions[thread.function], thread.line)
    states = _by_state(thread.states)
    return WindowThread(thread.native_id, thread.thread_id, thread.name, states, place, thread.system_call)


def _by_state(counts: Sequence[int]) -> dict[str, int]:
    return dict(zip(SAMPLED_STATES, counts, strict=False))


def _thread_stack(thread: targets_pb2.DumpedThread, functions: Sequence[targets_pb2.DumpedFunction]) -> ThreadStack:
    return ThreadStack(
        native_id=thread.native_id,
        thread_id=thread.thread_id,
        name=thread.name,
        interpreter=thread.interpreter,
        state=THREAD_STATES[thread.state] if thread.state < len(THREAD_STATES) else "",
        system_call=thread.system_call,
        frames=_frames(thread.stack, functions),
        is_settled=not thread.unsettled,
    )


def _task(task: targets_pb2.DumpedTask, functions: Sequence[targets_pb2.DumpedFunction]) -> AwaitingTask:
    frames = _frames(task.stack, functions)
    return AwaitingTask(task.id, task.name, task.native_id, task.running, frames, tuple(task.awaited_by))


def _frames(stack: targets_pb2.DumpedStack, functions: Sequence[targets_pb2.DumpedFunction]) -> tuple[StackFrame, ...]:
    rows = zip(stack.functions, stack.lines, strict=True)
    return tuple(StackFrame(functions[place].name, functions[place].file, line) for place, line in rows)


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
