"""The descendants of a process that is sampled: each that runs Python is sampled too, soon after it began."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach.descendants import descendants
from execd.attach.process import target_key
from execd.attach.scan import look_at
from execd.errors import ExecdError, TargetGone

if TYPE_CHECKING:
    from execd.model.target import TargetKey
    from execd.sessions.armed import Running
    from execd.sessions.sampled import SampledTarget
    from execd.sessions.samplings import Samplings

_LOG = logging.getLogger("execd.sessions")
# Looks at a process that no interpreter is found in: it may be about to start one.
_MOST_TRIES = 10
# Of processes that may have ended long ago.
_MOST_KEPT = 10_000


def start_below(
    samplings: Samplings, root: SampledTarget, running: Running, tried: dict[tuple[str, TargetKey], int]
) -> None:
    """Begin to sample what has come below a process.

    Args:
        samplings: that has both.
        root: the process.
        running: its session.
        tried: how often a process was looked at in vain, by group; changed.
    """
    group = running.session.group
    known = {target.target.key for target, row in samplings.running() if row.session.group == group}
    if len(tried) > _MOST_KEPT:
        tried.clear()
    for pid in sorted(descendants({root.target.key.pid})):
        try:
            key = group, target_key(pid)
        except TargetGone:
            continue
        if key[1] in known or tried.get(key, 0) >= _MOST_TRIES:
            continue
        # Before it is tried: one that ends meanwhile is not looked at again.
        tried[key] = tried.get(key, 0) + 1
        try:
            _start(samplings, pid, running)
        except ExecdError as error:
            # A zombie may be there for as long as its parent.
            if tried[key] == 1:
                _LOG.info("a descendant is not sampled", extra={"facts": {"pid": pid, "why": error.message}})
            continue
        # One that is stopped by itself does not come back.
        tried[key] = _MOST_TRIES
        if running.session.id not in root.running:
            # It was stopped meanwhile, with those that were known.
            samplings.end_late({group})
            return


def _start(samplings: Samplings, pid: int, running: Running) -> None:
    """Begin to sample a process as one of the group of another one's session. Raises ExecdError."""
    spec, group = replace(running.session.spec, children=False), running.session.group
    (session,) = samplings.start(look_at(pid), [spec], "", group=group, goes_if_empty=True, beside=True)
    _bound(samplings, session.id, running.ends_at)


def _bound(samplings: Samplings, session: str, ends_at: float) -> None:
    for _, row in samplings.running():
        if row.session.id == session:
            row.ends_at = ends_at
