"""What a process takes of the machine's memory, beside what its interpreter knows of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from execd.attach import process
from execd.errors import ExecdError

if TYPE_CHECKING:
    from execd.model.profile import Profile

_FIELDS = {b"Rss": "rss_bytes", b"Pss": "pss_bytes", b"Swap": "swap_bytes"}
_UNIT = 1024


def process_memory(pid: int) -> dict[str, int]:
    """Return rss_bytes, pss_bytes and swap_bytes of a process; nothing where it has ended or may not be read."""
    try:
        return parse_rollup(process.read_file(f"/proc/{pid}/smaps_rollup"))
    except (ExecdError, OSError):
        return {}


def parse_rollup(data: bytes) -> dict[str, int]:
    """Return the fields of /proc/PID/smaps_rollup that are told of, in bytes."""
    rows = (line.partition(b":") for line in data.splitlines())
    return {
        _FIELDS[name]: int(value.split()[0]) * _UNIT
        for name, _, value in rows
        if name in _FIELDS and value.split()[:1] and value.split()[0].isdigit()
    }


def with_process_memory(profile: Profile) -> Profile:
    """Return the profile with what its process takes now in its header."""
    extra = {**profile.header.extra, **process_memory(profile.header.pid)}
    return replace(profile, header=replace(profile.header, extra=extra))
