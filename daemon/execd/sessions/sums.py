"""Sums: stored profiles that are made of others, and those that grow by the last profile of session after session.

A sum is kept as what was imported is: as a session of a process that is not there, which ended before it began here.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from execd.errors import ExecdError, NotFound, UsageError
from execd.model.collector import TRACE
from execd.model.merge import merge
from execd.model.origins import EARLIER, ORIGIN, earlier_in, origins_of, with_earlier
from execd.model.origins import MERGED as ORIGINS
from execd.model.profile import MAX_NODES, MERGED, Label, Profile
from execd.model.session import SessionSpec, State
from execd.model.target import Target, TargetKey
from execd.sessions import archive
from execd.store.identifiers import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.session import Session
    from execd.model.stored import StoredProfile
    from execd.store.store import Store

# A sum tells of so many sessions one by one, and of those before them how many they are.
MOST_ORIGINS = 200
# Another may take the place of a sum, or remove it, while something is added; hardly twice.
_TRIES = 3


def check_into(store: Store, specs: Iterable[SessionSpec]) -> None:
    """Refuse what could not be added to the profile that it is meant for, before anything is done.

    Raises:
        UsageError: the name could be taken for something else, or the profile is of another collector; of a trace.
    """
    for spec in specs:
        known = _called(store, check_name(spec.into)) if spec.into else None
        if spec.into and spec.collector == TRACE.name:
            raise UsageError("a trace is events in their order: it does not add up", remedy="leave --into out")
        if known is not None and known.collector != spec.collector:
            raise UsageError(
                f"{spec.into} ({known.id}) is of {known.collector}: a session of {spec.collector} cannot be added",
                remedy="choose another name for --into",
                profile=known.id,
            )


def keep(store: Store, profile: Profile, name: str = "") -> StoredProfile:
    """Store a sum as a profile of its own.

    Args:
        store: where.
        profile: as merge returns it.
        name: what to call it, or "".

    Raises:
        UsageError: the name could be taken for something else, or the sum is too large.
        StoreFull: the disk takes no more.
    """
    check_name(name)
    _check_size(profile)
    _keep_sources(store, profile)
    header, group = profile.header, store.new_group()
    # The group makes it another process than that of any other sum; it has no name to be found by.
    target = Target(TargetKey(f"{MERGED} {group}", 0, 0), os.getuid(), (), "", header.python_version)
    spec = SessionSpec(header.collector, header.options)
    begun = store.add_session(target, spec, name="", group=group, started_at=header.started_at)
    session = replace(begun, form=MERGED, ended_at=header.ended_at)
    try:
        stored = store.add_profile(profile, session=session.id, reason=MERGED, name=name)
    except ExecdError as error:
        store.save_session(replace(session, state=State.FAILED, reason=error.message))
        raise
    store.save_session(replace(session, state=State.STOPPED))
    return store.stored(stored.id)


def add(store: Store, session: Session) -> str:
    """Add the last profile of a session that ends to the sum that it is meant for, which is made where there is none.

    It is added once, however often this is called. Two at once need a lock of the caller's.

    Args:
        store: where both are.
        session: as it ends.

    Returns:
        Why it was not added, "" where it was.
    """
    latest = store.session(session.id).latest_profile
    if not latest:
        return "nothing was recorded"
    try:
        profile = store.load(latest)
        named = replace(profile, header=replace(profile.header, session=session.id))
        part = archive.at_its_end(named, store.stored(latest), replace(session, latest_profile=latest))
        for _ in range(_TRIES - 1):
            try:
                _add(store, part, session)
            except NotFound:
                continue
            return ""
        _add(store, part, session)
    except ExecdError as error:
        return error.message
    return ""


def _add(store: Store, part: Profile, session: Session) -> None:
    name = session.spec.into
    known = _called(store, name)
    if known is None:
        keep(store, _of_one(part), name)
        return
    before = store.load(known.id)
    if session.id in {one.session for one in origins_of(before.header)}:
        return
    profile = _trimmed(merge([_unlabelled(before), _unlabelled(part)]))
    _check_size(profile)
    if known.reason != MERGED:
        # A snapshot stays what it is; the sum, which is newer, is what its name means from now on.
        keep(store, profile, name)
        return
    _keep_sources(store, profile)
    store.add_profile(profile, session=known.session, reason=MERGED, name=name, in_place_of=known.id)
    header = profile.header
    grown = replace(store.session(known.session), started_at=header.started_at, ended_at=header.ended_at)
    store.save_session(grown)


def _called(store: Store, name: str) -> StoredProfile | None:
    try:
        return store.stored(name)
    except NotFound:
        return None


def _of_one(part: Profile) -> Profile:
    """Return a sum of one profile alone, which tells of it."""
    header = part.header
    origin = {name: getattr(header, name) for name in ORIGIN} | {"command_line": list(header.command_line)}
    extra = {**header.extra, ORIGINS: [origin]}
    profile = merge([_unlabelled(part)])
    return replace(profile, header=replace(profile.header, extra=extra))


def _unlabelled(profile: Profile) -> Profile:
    """Return a profile without processes and threads: with those of each run a sum would grow for ever."""
    return replace(profile, labels=tuple(Label(0, "", 0, label.domain) for label in profile.labels))


def _trimmed(profile: Profile) -> Profile:
    """Return a sum that tells of the latest of its sessions one by one, and of the others how many they are."""
    header = profile.header
    origins = header.extra.get(ORIGINS)
    if not isinstance(origins, list) or len(origins) <= MOST_ORIGINS:
        return profile
    earlier = earlier_in(header) + len(origins) - MOST_ORIGINS
    extra = {**header.extra, ORIGINS: origins[-MOST_ORIGINS:], EARLIER: earlier}
    return replace(profile, header=replace(header, extra=extra, caveats=with_earlier(header.caveats, earlier)))


def _keep_sources(store: Store, profile: Profile) -> None:
    """Let the texts live as long as the sum, which is younger than what it is of."""
    store.keep_sources(file.digest for file in profile.files if file.digest)


def _check_size(profile: Profile) -> None:
    if len(profile.parents) > MAX_NODES:
        raise UsageError(
            f"the sum has {len(profile.parents)} nodes, and a profile may have {MAX_NODES}",
            remedy="sum up fewer, or report several at once: execctl report A B",
        )
