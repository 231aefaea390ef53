-- execd.db, version 3. A new database is made from this file, an older one by the steps in migrations.py;
-- both must end at the same tables. Ids carry a letter outside of the database: sessions.id 12 is "s12".
-- Times are seconds since the epoch.
--
-- Columns marked JSON hold ASCII-only JSON: text that a target supplied may hold lone surrogates (undecodable
-- bytes of a command line), which an SQLite text cannot. JSON's \udXXX escapes bring them back as they were.

-- A process as it was when it was looked at. After exec or a closer look the same process has a second row, so
-- that every session goes on to show the facts that it was recorded under.
CREATE TABLE targets (
    id             INTEGER PRIMARY KEY,
    boot_id        TEXT    NOT NULL,    -- with pid and start_ticks: the identity
    pid            INTEGER NOT NULL,    -- in the daemon's PID namespace
    start_ticks    INTEGER NOT NULL,    -- clock ticks after boot
    uid            INTEGER NOT NULL,    -- real user id
    command_line   TEXT    NOT NULL,    -- JSON, array of strings
    executable     TEXT    NOT NULL,    -- JSON, string
    python_version TEXT    NOT NULL,    -- JSON, string
    in_other_root  INTEGER NOT NULL,    -- 0 or 1
    UNIQUE (boot_id, pid, start_ticks, uid, command_line, executable, python_version, in_other_root)
);

-- One row for each attach that started sessions ("g3"): it gives them their common number.
CREATE TABLE session_groups (
    id         INTEGER PRIMARY KEY AUTOINCREMENT
);

-- One collector at work on one target. The newest profile of a session is looked up, not stored: it stays
-- right whatever deletes profiles.
CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,    -- never used twice: people note "s12" down
    name       TEXT    NOT NULL,                     -- the user's, '' for none; not unique
    group_id   INTEGER NOT NULL REFERENCES session_groups (id),
    target     INTEGER NOT NULL REFERENCES targets (id),
    collector  TEXT    NOT NULL,
    options    TEXT    NOT NULL,                     -- JSON, object
    form       TEXT    NOT NULL,                     -- 'native', 'python', '' before it runs
    state      TEXT    NOT NULL,                     -- a value of execd.model.session.State
    started_at REAL    NOT NULL,
    ended_at   REAL    NOT NULL,                     -- 0.0 while it goes on
    reason     TEXT    NOT NULL,                     -- JSON, string: why it ended, where not by a stop
    caveats    TEXT    NOT NULL,                     -- JSON, array of strings
    into_name  TEXT    NOT NULL DEFAULT '',          -- of the profile that its last one is added to, '' for none
    children   INTEGER NOT NULL DEFAULT 0            -- 1: those of its group that have 0 are of its descendants
);
CREATE INDEX sessions_name ON sessions (name) WHERE name != '';
CREATE INDEX sessions_state ON sessions (state);
CREATE INDEX sessions_group ON sessions (group_id);

-- A stored profile; its bytes are in profiles/p<id>.profile. The row is written after the file is safe, so a
-- file without a row was never acknowledged, and a row without its file is damage.
CREATE TABLE profiles (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,                   -- the user's, '' for none; not unique
    session      INTEGER NOT NULL REFERENCES sessions (id),
    reason       TEXT    NOT NULL CHECK (reason IN ('snapshot', 'checkpoint', 'final')),
    started_at   REAL    NOT NULL,
    ended_at     REAL    NOT NULL,
    nodes        INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,                   -- of the file
    crc32        INTEGER NOT NULL,                   -- of the file
    stored_at    REAL    NOT NULL                    -- what its age is counted from
);
CREATE INDEX profiles_session ON profiles (session);
CREATE INDEX profiles_name ON profiles (name) WHERE name != '';

-- What users sort their sessions by. A profile has its session's labels, and its own come before them.
CREATE TABLE session_labels (
    session    INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    key        TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    PRIMARY KEY (session, key)
) WITHOUT ROWID;

CREATE TABLE profile_labels (
    profile    INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    key        TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    PRIMARY KEY (profile, key)
) WITHOUT ROWID;

-- Who did what to which process, and what became of it.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         REAL    NOT NULL,
    actor_pid  INTEGER NOT NULL,    -- the client's process
    action     TEXT    NOT NULL,    -- 'attach', 'start', ...
    target_pid INTEGER NOT NULL,    -- 0 where there is none
    outcome    TEXT    NOT NULL     -- JSON, string: 'done' or the error's message
);

PRAGMA user_version = 3;
