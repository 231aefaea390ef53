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
# Line by line a server takes thirty times as long for a request.
REQUESTS_PER_S = 40
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
    specs = tuple(_SPECS.values()) if mode == ALL else (_SPECS[mode],)
    return Recording(specs, SNAPSHOTS, REQUESTS_PER_S)
