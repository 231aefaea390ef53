"""The audit trail: who did what to which process, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from execd.store.database import insert

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action.

    Attributes:
        at: seconds since the epoch.
        actor_pid: the client's process.
        action: "attach", "start" and so on.
        target_pid: the process that it was done to, 0 where there is none.
        outcome: "done", or the error's message.
    """

    at: float
    actor_pid: int
    action: str
    target_pid: int
    outcome: str


def add_entry(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """Append an entry."""
    insert(
        connection,
        "INSERT INTO audit (at, actor_pid, action, target_pid, outcome) VALUES (?, ?, ?, ?, ?)",
        (entry.at, entry.actor_pid, entry.action, entry.target_pid, json.dumps(entry.outcome)),
    )


def list_entries(connection: sqlite3.Connection, *, limit: int) -> list[AuditEntry]:
    """Return the newest entries, newest first."""
    rows = connection.execute(
        "SELECT at, actor_pid, action, target_pid, outcome FROM audit ORDER BY id DESC LIMIT ?",
        (max(limit, 0),),
    )
    return [
        AuditEntry(row["at"], row["actor_pid"], row["action"], row["target_pid"], json.loads(row["outcome"]))
        for row in rows
    ]
