"""A program that fills a store until it is killed or fails, and says on stdout what was acknowledged.

Arguments: the data directory, and for a limit of RLIMIT_FSIZE bytes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from execd.errors import StoreFull
from execd.store.store import Store
from store_samples import a_profile, add_session

FULL = "full"


def say(line: str) -> None:
    """Writes a line at once: a line that was written is a promise that the test holds us to."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(directory: str, *limits: str) -> None:
    """Adds a session, then snapshots and checkpoints in turn."""
    store = Store.open(Path(directory), reserve_bytes=0)
    session = add_session(store)
    say(session.id)
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        for count in range(1_000_000):
            nodes = 100 + count * 50 % 5000
            stored = store.add_profile(a_profile(nodes=nodes), session=session.id, reason="snapshot")
            say(f"{stored.id} {nodes}")
            store.add_profile(a_profile(), session=session.id, reason="checkpoint")
    except StoreFull:
        say(FULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
