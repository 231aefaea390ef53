"""Questions to a running memory session: figures, a reset, a clearing, where objects were allocated."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard

from execd.attach.process_memory import process_memory
from execd.errors import AgentFailed, AgentSilent, NotFound, UsageError
from execd.model.collector import MEMORY
from execd.model.memory.figures import LiveObject, MemoryFigures
from execd.sessions import selection
from execd.sessions.live import SLOW_TIMEOUT_S, LiveTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.sessions.armed import Running
    from execd.sessions.recorded import Recorded
    from execd.sessions.registry import Registry

_MOST_FIGURES, _MOST_OBJECTS, _MOST_FRAMES, _TEXT_LIMIT = 100, 1000, 100, 4096
# What an agent says of objects beside those that it tells of.
_OTHERS = ("untraced", "unseen", "unfollowed")
_COUNT_LIMIT = 1 << 62
# What a snapshot may hold a process up for unasked; a census may as long.
_UNASKED_NS = 500_000_000


def ask_memory(registry: Registry, selector: str, question: dict[str, object]) -> MemoryFigures:
    """Return what the agent answers to a question about the memory of its process.

    Args:
        registry: of the daemon.
        selector: a PID, a session, a name; "" the only memory session that runs.
        question: {"what": "figures", "reset_peak" or "clear"}, or {"what": "where", "name", "most", "confirmed"}.

    Raises:
        NotFound, Ambiguous: no such session runs, or several do.
        UsageError: it takes long to find that out; says how long, and how to have it all the same.
        CollectorRefused: the traces are the program's own, or there is nothing of the name.
        AgentFailed, TargetGone: it cannot be asked.
    """
    live, running = _running(registry, selector)
    pid = live.target.key.pid
    is_search = question["what"] == "where"
    if is_search and not question.get("confirmed") and ":" not in str(question["name"]):
        _refuse_long_search(live, running)
    reply = _asked(live, running, question)
    if is_search:
        return whereabouts(pid, running.session.id, reply)
    figures = {
        str(name)[:_TEXT_LIMIT]: value for name, value in islice(reply.items(), _MOST_FIGURES) if _is_count(value)
    }
    return MemoryFigures(pid, running.session.id, {**figures, **process_memory(pid)})


def refuse_long_pauses(chosen: Sequence[tuple[Recorded, Running]]) -> None:
    """Refuse a snapshot that would hold a process up for long, by the estimate of its agent.

    Args:
        chosen: what the snapshot is of.

    Raises:
        UsageError: says for how long, and how to have it all the same.
        AgentFailed, TargetGone: it cannot be asked.
    """
    for live, running in chosen:
        if running.armed.collector != MEMORY.name or not isinstance(live, LiveTarget):
            continue
        facts = _asked(live, running, {"what": "figures"})
        pause_ns, blocks = facts.get("expected_pause_ns"), facts.get("listed_blocks")
        if _is_count(pause_ns) and _is_count(blocks) and pause_ns > _UNASKED_NS:
            pid = live.target.key.pid
            raise UsageError(
                f"a snapshot of about {blocks} blocks holds process {pid} up for about {pause_ns / 1e9:.1f} s",
                remedy="do it all the same: --yes, in Python confirmed=True",
                pid=pid,
            )


def _refuse_long_search(live: LiveTarget, running: Running) -> None:
    facts = _asked(live, running, {"what": "figures"})
    search_ns, blocks = facts.get("expected_search_ns"), facts.get("allocated_blocks")
    if _is_count(search_ns) and _is_count(blocks) and search_ns > _UNASKED_NS:
        pid = live.target.key.pid
        raise UsageError(
            f"to look for objects among {blocks} takes up to {search_ns / 1e9:.1f} s of the interpreter's time from "
            f"process {pid}",
            remedy="do it all the same: --yes, in Python confirmed=True",
            pid=pid,
        )


def _asked(live: LiveTarget, running: Running, question: dict[str, object]) -> dict[str, Any]:
    with live.lock:
        try:
            return live.request("ask", timeout_s=SLOW_TIMEOUT_S, session=running.armed.key, question=question).facts
        except AgentSilent as silence:
            if question["what"] != "where":
                raise
            # It gives up by itself before; this one was not let run.
            raise AgentSilent(
                f"{silence.message}; it goes on to look for the objects, and its answer is dropped",
                remedy="try again when its threads are less busy",
                **silence.facts,
            ) from None


def _running(registry: Registry, selector: str) -> tuple[LiveTarget, Running]:
    lives = registry.live_targets()
    traced = [
        (live, running)
        for live in lives
        for running in list(live.running.values())
        if running.armed.collector == MEMORY.name
    ]
    sessions, targets = [running.session for _, running in traced], [live.target for live in lives]
    meant = selection.live_meaning(selector, sessions, targets, lambda _: False)
    fitting = [row for row in traced if meant in ("", row[1].session.id, str(row[0].target.key.pid))]
    if not fitting:
        raise NotFound(
            f"no session traces the memory of {selector or 'any process'}",
            remedy=f"start one: execctl attach {selector or 'PID'} --memory",
        )
    # Several sessions on one process stand on one tracing.
    first_of_each = {row[0].target.key: row for row in reversed(fitting)}
    chosen = selection.only([row[1].session for row in first_of_each.values()], "memory session")
    return next(row for row in fitting if row[1].session is chosen)


def whereabouts(pid: int, session: str, reply: dict[str, Any]) -> MemoryFigures:
    """Return what an agent says of where objects are. Raises AgentFailed where that is something else."""
    match reply:
        case {"count": count, "bytes": size, "objects": list(objects)} if _is_count(count) and _is_count(size):
            found = tuple(_live_object(one, pid) for one in objects[:_MOST_OBJECTS])
            figures = {name: reply[name] for name in _OTHERS if _is_count(reply.get(name))}
            return MemoryFigures(pid, session, figures, count, size, found)
        case _:
            raise _wrong(pid)


def _live_object(row: object, pid: int) -> LiveObject:
    match row:
        case {"type": str(kind), "bytes": size, "is_traced": bool(traced), "frames": list(frames)} if _is_count(size):
            newest_first = [_frame(frame, pid) for frame in frames[:_MOST_FRAMES]]
            return LiveObject(kind[:_TEXT_LIMIT], size, traced, tuple(reversed(newest_first)))
        case _:
            raise _wrong(pid)


def _frame(frame: object, pid: int) -> tuple[str, int]:
    match frame:
        case [str(file), line] if _is_count(line) and line < 1 << 32:
            return file[:_TEXT_LIMIT], line
        case _:
            raise _wrong(pid)


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _COUNT_LIMIT


def _wrong(pid: int) -> AgentFailed:
    return AgentFailed(f"the agent in process {pid} answered with something else than was asked for", pid=pid)
