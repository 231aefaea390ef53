"""What a follower of a trace gets: the text of the events, from the log of a running session or from the store."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from execd_api.v1 import sessions_pb2 as pb

from execd.errors import UsageError
from execd.model.collector import TRACE
from execd.reports import ReportOptions
from execd.reports.trace.text import rows as stored_rows
from execd.reports.trace.text import source_lines
from execd.reports.trace.wording import Wording
from execd.rpc import convert
from execd.sessions import archive
from execd.sessions.stream.running import running_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.sessions.registry import Registry
    from execd.sessions.stream.log import EventLog
    from execd.store.store import Store

# A piece is rendered, sent and taken by a client that may be slow; nothing else waits for it.
_MOST_EVENTS = 1000
# How often it is seen that a client is gone to whom there is nothing to send.
_LOOK_S = 0.5


def follow(
    registry: Registry, store: Store, request: pb.FollowRequest, stopped: Callable[[], bool]
) -> Iterator[pb.FollowChunk]:
    """Yield the events of a trace as text, until its session ends; of one that has ended what is stored.

    Args:
        registry: of the daemon.
        store: its.
        request: which session, and from where on.
        stopped: whether the client has gone away.

    Raises:
        NotFound, Ambiguous, UsageError: there is no such trace.
    """
    found = running_log(registry, request.session)
    if found is None:
        yield from _stored(registry, store, request)
        return
    session, log = found
    yield from _running(session, log, request, stopped)
    # The log is closed an instant before it is stored that the session has ended.
    for _ in registry.watch(session, stopped):
        continue


def _running(
    session: str, log: EventLog, request: pb.FollowRequest, stopped: Callable[[], bool]
) -> Iterator[pb.FollowChunk]:
    number = log.produced if request.from_now else request.after
    wording = Wording(log.functions, log.locations, log.source, timing=request.timing)
    yield pb.FollowChunk(session=session, end=number)
    while not stopped():
        events = log.after(number, _MOST_EVENTS, _LOOK_S)
        if events is None:
            if log.is_over:
                return
            continue
        lost = events.lost(number)
        rows = zip(events.times, events.kinds, events.locations, lost, strict=True)
        number = events.ends[-1]
        yield pb.FollowChunk(text=_joined(wording.texts(rows)), end=number, lost=sum(lost))


def _stored(registry: Registry, store: Store, request: pb.FollowRequest) -> Iterator[pb.FollowChunk]:
    stored, profile = archive.load_found(store, lambda: registry.subjects.resolve_profile(request.session))
    if profile.header.collector != TRACE.name:
        raise UsageError(
            f"session {stored.session} is no trace, its collector is {stored.collector}",
            remedy=f"see what it recorded: execctl report {stored.id}",
        )
    lines = source_lines(profile, ReportOptions(source=store.source))
    wording = Wording(profile.functions, profile.locations, lines, timing=request.timing)
    number = request.after
    yield pb.FollowChunk(session=stored.session, end=number)
    rows = _beyond(number, stored_rows(profile))
    while part := list(islice(rows, _MOST_EVENTS)):
        lost = sum(row[-1] for row in part)
        number += lost + sum(1 for row in part if not row[-1])
        yield pb.FollowChunk(text=_joined(wording.texts(part)), end=number, lost=lost)


def _beyond(after: int, rows: Iterator[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the events that follow the first `after`, lost ones among them."""
    number = 0
    for time_ns, kind, location, lost in rows:
        number += lost or 1
        if number > after:
            yield time_ns, kind, location, min(lost, number - after)


def _joined(texts: Iterator[str]) -> str:
    return convert.text("\n".join(chain(texts, ("",))))
