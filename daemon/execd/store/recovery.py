"""What is done at open so that rows and files agree, whatever ended the daemon before.

Nothing is deleted here: what does not fit is moved to `quarantine`, where a person can look at it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from execd.errors import NotFound, ProfileCorrupt
from execd.store.database import Database, DatabaseDamaged
from execd.store.directory import sync_directory
from execd.store.files import file_name, read_checked, write_new
from execd.store.identifiers import PROFILE, spell
from execd.store.profiles import find_profile, kept_files, remove_profiles
from execd.store.sessions import interrupt_running

if TYPE_CHECKING:
    from pathlib import Path

    from execd.store.directory import DataDirectory
    from execd.store.migrations import Schema
    from execd.store.profiles import KeptFile

_LOG = logging.getLogger("execd.store")


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening the store put right.

    Attributes:
        quarantined: names of the files that now lie in quarantine.
        interrupted: ids of the sessions that an earlier daemon left running.
    """

    quarantined: tuple[str, ...]
    interrupted: tuple[str, ...]


def open_sound_database(place: DataDirectory, schema: Schema) -> tuple[Database, Recovery]:
    """Open the database, with rows and files in agreement.

    A WAL that is there before the database is opened was left by a daemon that did not close it: then the
    database is verified, and every profile's file is read; otherwise sizes alone are compared.

    Raises:
        StoreTooNew: a newer execd wrote it.
    """
    unclean = _wal(place).exists()
    moved = []
    try:
        database = Database.open(place.database, schema, check=unclean)
    except DatabaseDamaged:
        moved = _quarantine_database(place)
        database = Database.open(place.database, schema, check=False)
    try:
        moved += _quarantine_orphans(database, place)
        moved += _quarantine_damaged(database, place, read=unclean)
        with database.write() as connection:
            interrupted = interrupt_running(connection)
    except BaseException:
        database.close()
        raise
    if moved:
        facts = {"directory": place.quarantine, "files": moved}
        _LOG.warning(
            "the store was not whole: what is damaged or of no session is in quarantine", extra={"facts": facts}
        )
    return database, Recovery(quarantined=tuple(moved), interrupted=interrupted)


def _wal(place: DataDirectory) -> Path:
    return place.database.with_name(f"{place.database.name}-wal")


def _quarantine_database(place: DataDirectory) -> list[str]:
    present = sorted(place.path.glob(f"{place.database.name}*"))
    return [_move(place, path) for path in present]


def _quarantine_orphans(database: Database, place: DataDirectory) -> list[str]:
    with database.read() as connection:
        known = {file_name(kept.number) for kept in kept_files(connection)}
    present = sorted(place.profiles.iterdir())
    return [_move(place, path) for path in present if path.name not in known]


def _quarantine_damaged(database: Database, place: DataDirectory, *, read: bool) -> list[str]:
    with database.read() as connection:
        kept = kept_files(connection)
    moved = []
    for profile in kept:
        path = place.profiles / file_name(profile.number)
        if not _is_sound(path, profile, read=read):
            moved += _quarantine_profile(database, place, profile.number)
    return moved


def _is_sound(path: Path, profile: KeptFile, *, read: bool) -> bool:
    if not read:
        return path.is_file() and path.stat().st_size == profile.stored_bytes
    try:
        read_checked(str(path), profile.stored_bytes, profile.crc32)
    except (NotFound, ProfileCorrupt):
        return False
    return True


def _quarantine_profile(database: Database, place: DataDirectory, number: int) -> list[str]:
    path = place.profiles / file_name(number)
    with database.write() as connection:
        stored = find_profile(connection, spell(PROFILE, number))
        row_path = _free_path(place.quarantine / f"{path.name}.row.json")
        write_new(row_path, json.dumps(asdict(stored)).encode("ascii"))
        moved = [row_path.name]
        if path.exists():
            moved.append(_move(place, path))
        sync_directory(place.quarantine)
        remove_profiles(connection, [number])
    return moved


def _move(place: DataDirectory, path: Path) -> str:
    quarantined = path.rename(_free_path(place.quarantine / path.name))
    sync_directory(place.quarantine)
    sync_directory(path.parent)
    return quarantined.name


def _free_path(path: Path) -> Path:
    # A number is used again after a damaged database was replaced, so one name may come here twice.
    candidate, count = path, 0
    while candidate.exists():
        count += 1
        candidate = path.with_name(f"{path.name}.{count}")
    return candidate
