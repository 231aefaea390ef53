"""How many descriptors the daemon may have open: each connection takes one, whether its client says anything or not."""

from __future__ import annotations

import resource
from dataclasses import dataclass

# More than clients can be; and what an interpreter or a library goes through one by one stays short.
MOST = 65_536


@dataclass(frozen=True, slots=True)
class Allowance:
    """The soft limit of open files, as it was and as it is."""

    before: int
    now: int


def raise_limit(most: int = MOST) -> Allowance:
    """Raise this process's soft limit to its hard one, or to `most`; one that is higher stays."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The kernel knows no unlimited number of files: neither of the two is RLIM_INFINITY.
    now = max(before, min(hard, most))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (now, hard))
    except (ValueError, OSError):
        return Allowance(before, before)  # fs.nr_open lies below the hard limit
    return Allowance(before, now)
