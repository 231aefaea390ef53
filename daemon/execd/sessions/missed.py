"""The processes of a tree that go on unrecorded: how many, and why."""

from __future__ import annotations

from collections import Counter

from execd.errors import ExecdError, TargetGone

# Of so many is known which they are, so that one which is tried again is counted once.
_KEPT = 4096


class Missed:
    """Counts them; for one thread at a time."""

    def __init__(self) -> None:
        self._whys: dict[int, str] = {}
        self._earlier: Counter[str] = Counter()

    def add(self, pid: int, error: ExecdError) -> None:
        """Count a process, for the reason that came last."""
        why = "ended before" if isinstance(error, TargetGone) else error.message.replace(f"process {pid}", "it")
        self._whys[pid] = why
        if len(self._whys) > _KEPT:
            self._earlier[self._whys.pop(next(iter(self._whys)))] += 1

    def drop(self, pid: int) -> None:
        """Take back a process that is recorded after all."""
        self._whys.pop(pid, None)

    def notes(self) -> tuple[str, ...]:
        """Return what to say of them, a sentence a reason."""
        counts = self._earlier + Counter(self._whys.values())
        return tuple(f"{count} of its descendants are not recorded: {why}" for why, count in counts.items())
