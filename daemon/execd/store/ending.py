"""The ends of many sessions at once: their last profiles and what they are now, in one transaction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from execd.store import profiles, sessions
from execd.store.directory import sync_directory
from execd.store.files import discard, file_name, path_of, remove, stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from execd.model.session import Session
    from execd.store.database import Database
    from execd.store.profiles import NewProfile


def end_together(
    directory: Path,
    database: Database,
    publishing: AbstractContextManager[object],
    ends: Sequence[tuple[NewProfile, bytes, Session]],
) -> None:
    """Store profiles and sessions, all or none: the disk is waited for once for each file, and twice for all of them.

    Args:
        directory: of the files of profiles.
        database: of their rows.
        publishing: held from the moment when the numbers are known, see Store.
        ends: a profile's row and bytes, and its session as it has ended.
    """
    unfinished: list[str] = []
    replaced: list[int] = []
    try:
        for _, data, _ in ends:
            unfinished.append(stage(directory, data))
        with publishing, database.write() as connection:
            for index, (new, _, session) in enumerate(ends):
                sessions.save_session(connection, session)
                number = profiles.add_profile(connection, new)
                lasting = path_of(directory, file_name(number))
                os.rename(unfinished[index], lasting)
                unfinished[index] = lasting
                replaced += profiles.superseded(connection, number)
            sync_directory(directory)
            profiles.remove_profiles(connection, replaced)
    except BaseException:
        for path in unfinished:
            discard(path)
        raise
    remove(directory, replaced)
