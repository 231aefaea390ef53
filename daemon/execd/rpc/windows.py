"""What a reader of a session of samples gets: each window as a message, until the session or the reader goes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from execd_api.v1 import sessions_pb2 as pb

from execd.errors import UsageError
from execd.model.profile import BUILTIN_FILE
from execd.rpc import convert
from execd.sessions.windows import SampleWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from execd.model.profile import Function
    from execd.model.window import Rows, ThreadWindow, Window
    from execd.sessions.registry import Registry

_USUAL_MS: Final = 1000
_SHORTEST_MS, _LONGEST_MS = 200, 60_000
_MS_A_S = 1000


def windows(registry: Registry, request: pb.SamplesRequest, stopped: Callable[[], bool]) -> Iterator[pb.SampleWindow]:
    """Yield the windows of a session of samples until it ends.

    Args:
        registry: of the daemon.
        request: which session, and how long a window is.
        stopped: whether the reader has gone away.

    Raises:
        NotFound, Ambiguous, UsageError: there is no such session, or no such window.
    """
    interval_ms = request.interval_ms or _USUAL_MS
    if not _SHORTEST_MS <= interval_ms <= _LONGEST_MS:
        raise UsageError(f"a window lasts {_SHORTEST_MS} to {_LONGEST_MS} ms, not {interval_ms}")
    with ExitStack() as ends:
        found = SampleWindows(registry, request.session)
        if request.stop_at_end:
            ends.callback(registry.stop, found.session)
            found.end_with_reader()
        ends.enter_context(found)
        yield pb.SampleWindow(session=found.session, asked_hz=found.rate_hz)
        for window in found.read(interval_ms / _MS_A_S, stopped):
            yield _message(window, found.rate_hz)


def _message(window: Window, asked_hz: float) -> pb.SampleWindow:
    return pb.SampleWindow(
        started_at=window.started_at,
        ended_at=window.ended_at,
        asked_hz=asked_hz,
        turns=window.turns,
        states=window.states,
        verified=window.verified,
        unsettled=window.unsettled,
        lost=window.lost,
        new_functions=map(_function, window.new_functions),
        functions=_rows(window.functions),
        lines=_rows(window.lines),
        threads=map(_thread, window.threads),
        standstill=window.standstill,
    )


def _function(function: Function) -> pb.SampledFunction:
    file = "" if function.file == BUILTIN_FILE else convert.text(function.file)
    return pb.SampledFunction(name=convert.text(function.qualname), file=file, first_line=function.first_line)


def _rows(rows: Rows) -> pb.SampleRows:
    return pb.SampleRows(
        functions=rows.functions,
        lines=rows.lines,
        own_wall=rows.own.wall,
        own_cpu=rows.own.cpu,
        own_gil=rows.own.gil,
        total_wall=rows.total.wall,
        total_cpu=rows.total.cpu,
        total_gil=rows.total.gil,
    )


def _thread(thread: ThreadWindow) -> pb.SampledThread:
    return pb.SampledThread(
        native_id=thread.native_id,
        thread_id=thread.thread_id,
        name=convert.text(thread.name),
        states=thread.states,
        function=thread.function,
        line=thread.line,
        system_call=thread.system_call,
    )
