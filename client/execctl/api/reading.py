"""From the daemon's JSON to profiles as values, by the report that it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from execctl.api.calls import CallProfile, read_calls
from execctl.api.census import CensusProfile, read_census
from execctl.api.events import TraceProfile, read_events
from execctl.api.lines import CallersProfile, FunctionsProfile, LineProfile, read_called, read_callers, read_lines
from execctl.api.memory import MemoryProfile, read_memory
from execctl.api.origin import read_origin
from execctl.api.processes import read_process
from execctl.api.profile import Profile
from execctl.api.samples import SamplesProfile, read_samples
from execctl.errors import DaemonTooOld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from execctl.api.profile import Renderer
    from execctl.api.rendering import Rendering
    from execctl.api.session import Session
    from execctl.query import ReportQuery

# The format that holds a whole profile.
FORMAT = "whole"
# What a session of each collector records.
KINDS: Mapping[str, type[Profile]] = {
    "calls": CallProfile,
    "lines": LineProfile,
    "cover": LineProfile,
    "functions": FunctionsProfile,
    "callers": CallersProfile,
    "memory": MemoryProfile,
    "census": CensusProfile,
    "samples": SamplesProfile,
    "trace": TraceProfile,
}
_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Profile]] = {
    "functions": read_calls,
    "lines": read_lines,
    "called": read_called,
    "callers": read_callers,
    "traces": read_memory,
    "census": read_census,
    "samples": read_samples,
    "trace": read_events,
}


def records(session: Session, kind: type[Profile]) -> bool:
    """Whether what a session records is of a class."""
    return issubclass(KINDS.get(session.collector, Profile), kind)


def read_profile(rendering: Rendering, query: ReportQuery, renderer: Renderer) -> Profile:
    """Return the profile that a rendering of FORMAT holds.

    Args:
        rendering: it.
        query: what asked for it; what it found is asked for again, of a tree what its root's session stands for.
        renderer: whom.

    Raises:
        DaemonTooOld: it is of a kind that is not known here.
    """
    raw = json.loads(rendering.data)
    reader = _READERS.get(raw["report"])
    if reader is None:
        raise DaemonTooOld(
            f"the daemon sent a report of {raw['report']}, which this client does not know",
            remedy="install the client and the daemon of one version",
        )
    tree = raw.get("tree")
    resolved = query.of_profile(rendering.profile, rendering.added)
    if tree:
        resolved = replace(query, subject=tree.get("snapshot") or tree["session"])
    begun = {
        "origin": read_origin(raw["profile"]),
        "processes": tuple(map(read_process, raw.get("processes", ()))),
        "query": resolved,
        "renderer": renderer,
    }
    return reader(raw, begun)
