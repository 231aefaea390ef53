"""What is recorded of a tree, by the group of its sessions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.session import SessionSpec


@dataclass(frozen=True, slots=True)
class Recording:
    """One request: the group of its sessions, what to start, and until when, on time.monotonic()."""

    group: str
    specs: tuple[SessionSpec, ...]
    ends_at: float


def without(recordings: Mapping[str, Recording], group: str, collector: str) -> dict[str, Recording]:
    """Return what is left of recordings.

    Args:
        recordings: by group.
        group: whose sessions are recorded no more, "" for all.
        collector: which of them, "" for all.
    """
    left = {}
    for one in recordings.values():
        kept = tuple(spec for spec in one.specs if collector not in ("", spec.collector))
        specs = kept if group in ("", one.group) else one.specs
        if specs:
            left[one.group] = replace(one, specs=specs)
    return left
