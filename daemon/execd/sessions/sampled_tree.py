"""The descendants of a process that is sampled: each that runs Python is sampled too, soon after it began."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach.descendants import descendants
from execd.attach.scan import look_at
from execd.errors import ExecdError

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


def start_below(samplings: Samplings, root: SampledTarget, running: Running, tried: dict[TargetKey, int]) -> None:
    """Begin to sample what has come below a process.

    Args:
        samplings: that has both.
        root: the process.
        running: its session.
        tried: how often a process was looked at in vain; changed.
    """
    group = running.session.group
    known = {target.target.key for target, row in samplings.running() if row.session.group == group}
    if len(tried) > _MOST_KEPT:
        tried.clear()
    spec = replace(running.session.spec, children=False)
    for pid in sorted(descendants({root.target.key.pid})):
        try:
            target = look_at(pid)
            key = target.key
            if key in known or tried.get(key, 0) >= _MOST_TRIES:
                continue
            # Before it is tried: one that ends meanwhile is not looked at again.
            tried[key] = tried.get(key, 0) + 1
            started = samplings.start(target, [spec], "", group=group, goes_if_empty=True, beside=True)
            # One that is stopped by itself does not come back.
            tried[key] = _MOST_TRIES
            _bound(samplings, started[0].id, running.ends_at)
            if running.session.id not in root.running:
                # It was stopped meanwhile, with those that were known.
                samplings.end_late({group})
                return
        except ExecdError as error:
            _LOG.info("a descendant is not sampled", extra={"facts": {"pid": pid, "why": error.message}})


def _bound(samplings: Samplings, session: str, ends_at: float) -> None:
    for _, row in samplings.running():
        if row.session.id == session:
            row.ends_at = ends_at
