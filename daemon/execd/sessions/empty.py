"""Sessions that nothing was recorded in: what is told of them, and those that go."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from execd.errors import ExecdError
from execd.model.collector import CALLS, SAMPLES

if TYPE_CHECKING:
    from execd.model.profile import Header, Profile
    from execd.store.store import Store

_LOG = logging.getLogger("execd.sessions")


def told_if_empty(profile: Profile) -> str:
    """Return what is to be said of a session by its last profile, "" where it has something."""
    header = profile.header
    if profile.parents:
        return ""
    if header.collector == CALLS.name:
        return _told_of_patterns(header)
    if header.collector != SAMPLES.name:
        return ""
    return f"none of its code was met in {(header.ended_at - header.started_at) * 1000:.0f} ms"


def _told_of_patterns(header: Header) -> str:
    """Return which patterns left nothing to record, "" where there were none."""
    include, exclude = (header.options.get(name) for name in ("include", "exclude"))
    wanted = include or exclude
    if not isinstance(wanted, list) or not wanted:
        return ""
    patterns = ", ".join(map(str, wanted))
    fits = f"no code that ran fits --include {patterns}" if include else f"all code that ran fits --exclude {patterns}"
    kinds = "a pattern with a slash, or one that ends in .py, is a path, any other a module"
    return f"nothing was recorded: {fits} ({kinds}); execctl dump {header.pid} shows the files of what runs"


def removed_if_empty(store: Store, session: str) -> bool:
    """Remove a session that has checkpoints of nothing alone, and return whether it is gone."""
    try:
        rows = store.stored_profiles(session=session)
        if any(row.nodes or row.name or row.reason != "checkpoint" for row in rows):
            return False
        for row in rows:
            store.delete(row.id)
        store.remove_session(session)
    except ExecdError as error:
        facts = {"session": session, "why": error.message}
        _LOG.warning("a session that has nothing could not be removed", extra={"facts": facts})
        return False
    return True
