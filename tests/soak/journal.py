"""The journal of a soak: one JSON line a step that was done, so that the next run goes on where this one ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class OtherSeed(Exception):
    """The folder holds a run with another seed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of one step.

    Attributes:
        key: names the step, the same for the same plan: "cycles/3.12/gunicorn/477".
        amount: how often it did what it is about.
        seconds: how long it took.
        failures: a sentence each; none where all was as it must be.
        figures: what it measured, by name.
    """

    key: str
    amount: int
    seconds: float
    failures: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The first part of the key."""
        return self.key.partition("/")[0]


class Journal:
    """The file "journal.jsonl" of a folder: its first line is the run's seed, every other one an entry.

    Args:
        folder: made where it is missing.
        seed: of this run; None takes that of the folder, or `fresh_seed` in an empty one.
        fresh_seed: for a run that is told none.

    Raises:
        OtherSeed: the folder holds a run with another seed.
    """

    def __init__(self, folder: Path, seed: int | None, fresh_seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "journal.jsonl"
        # The last line of a run that was killed may have been cut.
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        records = [record for line in lines if (record := decoded(line)) is not None]
        held = records[0]["seed"] if records else None
        if held is not None and seed not in (None, held):
            raise OtherSeed(f"{folder} holds a run with seed {held}: use it, or another EXECD_SOAK_DIR")
        self.seed: int = next(value for value in (held, seed, fresh_seed) if value is not None)
        self.entries = [Entry(**record) for record in records[1:]]
        if held is None:
            self._write({"seed": self.seed})

    def has_passed(self, key: str) -> bool:
        """Whether a step was done and nothing failed in it."""
        return any(entry.key == key and not entry.failures for entry in self.entries)

    def add(self, entry: Entry) -> None:
        """Keeps an entry, on disk when this returns."""
        self.entries.append(entry)
        self._write(asdict(entry))

    def _write(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            # Begins with a line break: what a killed run may have left of a line is a line of its own.
            file.write("\n" + json.dumps(record))


def decoded(line: str) -> dict[str, Any] | None:
    """The object that a line holds, None where it is empty or was cut."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
