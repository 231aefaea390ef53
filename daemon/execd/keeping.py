"""Keeping: how long a daemon keeps profiles, as its last start with --keep-days or --keep-bytes said.

It is written down in the data directory: a start without these options, as execctl makes it, deletes nothing more.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.model.retention import DAY_S, Retention

if TYPE_CHECKING:
    from pathlib import Path

    from execd.config import Config

_FILE = "keep.json"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT])i?B", re.IGNORECASE)
_UNIT_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LEAST_BYTES, _MOST_BYTES = 1 << 20, 1 << 50
_MOST_DAYS = 36_500


def decided(config: Config) -> Retention:
    """Return how long profiles are kept: as the options say, else as it was last, else by default.

    Raises:
        UsageError: what was written down is damaged, and the options do not say it all.
    """
    known = Retention()
    if config.keep_days is None or config.keep_bytes is None:
        known = _read(config.data_dir / _FILE) or known
    if config.keep_days is not None:
        known = replace(known, max_age_s=config.keep_days * DAY_S)
    return known if config.keep_bytes is None else replace(known, max_bytes=config.keep_bytes)


def remember(data_dir: Path, retention: Retention) -> None:
    """Write down how long profiles are kept, for later starts."""
    path = data_dir / _FILE
    new = path.with_name(f"{_FILE}.tmp")
    new.write_text(json.dumps({"keep_days": retention.max_age_s / DAY_S, "keep_bytes": retention.max_bytes}) + "\n")
    os.replace(new, path)  # noqa: PTH105 - what Path.replace calls


def parse_days(text: str) -> float:
    """Return a number of days. Raises ValueError where it is none, not over 0, or over a hundred years."""
    days = float(text)
    if not 0 < days <= _MOST_DAYS:
        raise ValueError(f"{text!r} is not between 0 and {_MOST_DAYS} days")
    return days


def parse_size(text: str) -> int:
    """Return a size in bytes. Raises ValueError where it is none, or not between 1 MB and 1024 TB."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write a number with its unit (KB, MB, GB, TB): 500MB or 2GB")
    size = round(float(match[1]) * _UNIT_BYTES[match[2].upper()])
    if not _LEAST_BYTES <= size <= _MOST_BYTES:
        raise ValueError(f"{text!r} is not between 1MB and 1024TB")
    return size


def _read(path: Path) -> Retention | None:
    try:
        match json.loads(path.read_bytes()):
            case {"keep_days": int() | float() as days, "keep_bytes": int(size)} if 0 < days < math.inf and size > 0:
                return Retention(days * DAY_S, size)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        pass
    raise UsageError(
        f"the file {path} does not say how long profiles are kept",
        remedy="start with both --keep-days and --keep-bytes",
        file=path,
    )
