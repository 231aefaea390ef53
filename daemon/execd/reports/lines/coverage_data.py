"""The data file of coverage.py: `coverage report`, `html`, `xml` and `combine` read it.

Its context says what the data does not cover: `coverage html --show-contexts` shows it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from execd.errors import UsageError
from execd.reports.lines.files import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

CONTEXT = "since attach"
# Schema 7, since coverage.py 5.0.
_SCHEMA = """
CREATE TABLE coverage_schema (version integer);
CREATE TABLE meta (key text, value text, unique (key));
CREATE TABLE file (id integer primary key, path text, unique (path));
CREATE TABLE context (id integer primary key, context text, unique (context));
CREATE TABLE line_bits (
    file_id integer, context_id integer, numbits blob,
    foreign key (file_id) references file (id),
    foreign key (context_id) references context (id),
    unique (file_id, context_id)
);
CREATE TABLE arc (
    file_id integer, context_id integer, fromno integer, tono integer,
    foreign key (file_id) references file (id),
    foreign key (context_id) references context (id),
    unique (file_id, context_id, fromno, tono)
);
CREATE TABLE tracer (
    file_id integer primary key, tracer text,
    foreign key (file_id) references file (id)
);
INSERT INTO coverage_schema VALUES (7);
INSERT INTO meta VALUES ('version', 'execd'), ('has_arcs', '0');
"""
# Blobs of a million lines are 128 KiB; a stranger's line numbers go to 2**31.
_MAX_LINE = 1 << 20


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the file, an SQLite database.

    Raises:
        UsageError: a setting does not fit, or the profile has a path that cannot be stored, or a line that no file has.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO context VALUES (1, ?)", (CONTEXT,))
        for number, file in enumerate(chosen(profile, options), 1):
            try:
                database.execute("INSERT INTO file VALUES (?, ?)", (number, file.path))
            except UnicodeEncodeError:
                raise UsageError(
                    f"coverage.py's file cannot hold the path {file.path!a}", remedy="leave it out: --ignore-dir"
                ) from None
            database.execute("INSERT INTO line_bits VALUES (?, 1, ?)", (number, numbits(file.hits)))
        database.commit()
        return database.serialize()


def numbits(lines: Iterable[int]) -> bytes:
    """Return line numbers as coverage.py stores them: line n is bit n % 8 of byte n // 8.

    Raises:
        UsageError: a line is beyond those of any file.
    """
    wanted = set(lines)
    if max(wanted, default=0) > _MAX_LINE:
        raise UsageError(f"line {max(wanted)} is beyond what coverage.py's file is good for")
    bits = bytearray(max(wanted, default=0) // 8 + 1)
    for line in wanted:
        bits[line // 8] |= 1 << line % 8
    return bytes(bits)
