"""Modes: what `execctl attach` can record, as a cycle of the soak records it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from daemons import CALLS
from execd_api.v1.sessions_pb2 import SessionSpec
from soak.cycles import Recording

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of a cycle some 35 ms long.
SNAPSHOTS = 0.5
# Line by line a server takes thirty times as long for a request, and with all of it at once a hundred times; one that
# comes to no end with them shares the interpreter's lock with the agent, and each cycle takes as long as ten.
REQUESTS_PER_S = 40
REQUESTS_PER_S_OF_ALL = 8
ALL = "all"
_SPECS: Mapping[str, SessionSpec] = MappingProxyType(
    {
        "calls": CALLS,
        **{name: SessionSpec(collector=name) for name in ("lines", "cover", "functions", "callers", "trace")},
        "memory": SessionSpec(collector="memory", options_json='{"nframe": 5}'),
        "census": SessionSpec(collector="census", options_json='{"confirmed": true}'),
    }
)
MODES = (*_SPECS, ALL)


def recording(mode: str) -> Recording:
    """Return what a cycle of a mode records."""
    if mode == ALL:
        return Recording(tuple(_SPECS.values()), SNAPSHOTS, REQUESTS_PER_S_OF_ALL)
    return Recording((_SPECS[mode],), SNAPSHOTS, REQUESTS_PER_S)
