"""What files of other tools held, stored: as sessions of a process that is not there, which ended as they began."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import ExecdError, UsageError
from execd.model.collector import LINES
from execd.model.lines.listing import counts_by_file, is_file
from execd.model.lines.text import read_text
from execd.model.profile import IMPORTED
from execd.model.session import Session, SessionSpec, State
from execd.model.source import SourceFile
from execd.model.target import Target, TargetKey
from execd.sessions.housekeeping import tidy
from execd.sessions.sourcefiles import Unreadable, read_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from execd.model.profile import Header, Profile
    from execd.model.stored import StoredProfile
    from execd.store.store import Store

# A program has some hundreds.
_MOST_FILES = 2000
_READ_NOW = "was read now, when the counts were imported: it may not be the text that ran"


def keep(store: Store, profiles: Sequence[Profile]) -> list[StoredProfile]:
    """Store profiles out of files, one session for each collector, one group, all or none.

    Args:
        store: where.
        profiles: in their order; they have the form IMPORTED. Each is called by the name of its file where that can be
            a name and no other of its session has it.

    Raises:
        StoreFull: the disk takes no more.
        ProfileCorrupt: the format cannot hold one.
    """
    profiles = [_with_sources(store, profile) for profile in profiles]
    group = store.new_group()
    files = tuple(dict.fromkeys(profile.header.command_line[0] for profile in profiles))
    sessions: dict[str, Session] = {}
    stored: list[StoredProfile] = []
    try:
        for profile in profiles:
            collector = profile.header.collector
            if collector not in sessions:
                sessions[collector] = _begun(store, profile.header, files, group)
            stored.append(_stored(store, profile, sessions[collector].id))
        _end(store, sessions.values(), State.STOPPED)
    except ExecdError as error:
        for one in stored:
            store.delete(one.id)
        _end(store, sessions.values(), State.FAILED, error.message)
        raise
    tidy(store)
    return [store.stored(one.id) for one in stored]


def _with_sources(store: Store, profile: Profile) -> Profile:
    """Return a profile of lines with the texts of its files, where this machine has them and they have its lines."""
    if profile.header.collector != LINES.name:
        return profile
    lines = {path: max(hits) for path, hits in counts_by_file(profile).items() if is_file(path)}
    sources = [_source(store, path, last) for path, last in sorted(lines.items())[:_MOST_FILES]]
    return replace(profile, files=tuple(sources))


def _source(store: Store, path: str, last: int) -> SourceFile:
    """Return the text that a file has now: `trace` itself shows that beside counts."""
    if not path.startswith("/"):
        return SourceFile(path, "", (), "was not read: its name does not tell in which folder it lay")
    try:
        data = read_source(os.getpid(), path)
        count = len(read_text(data).lines)
    except (Unreadable, UsageError) as error:
        return SourceFile(path, "", (), error.message)
    if last > count:
        return SourceFile(path, "", (), f"is another text now: it has {count} lines, and line {last} ran")
    return SourceFile(path, store.add_source(data), (), _READ_NOW)


def _begun(store: Store, header: Header, files: tuple[str, ...], group: str) -> Session:
    # The group makes it another process than that of any other import.
    target = Target(TargetKey(f"{IMPORTED} {group}", header.pid, 0), os.getuid(), files, "", header.python_version)
    session = store.add_session(
        target, SessionSpec(header.collector), name="", group=group, started_at=header.started_at
    )
    return replace(session, form=IMPORTED, ended_at=header.ended_at)


def _stored(store: Store, profile: Profile, session: str) -> StoredProfile:
    name = profile.header.command_line[0].rpartition("/")[2]
    try:
        return store.add_profile(profile, session=session, reason=IMPORTED, name=name)
    except UsageError:
        return store.add_profile(profile, session=session, reason=IMPORTED)


def _end(store: Store, sessions: Iterable[Session], state: State, reason: str = "") -> None:
    for session in sessions:
        store.save_session(replace(session, state=state, reason=reason))
