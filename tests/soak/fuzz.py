"""The fuzzer: the readers of strangers' bytes, for so many seconds, from a seed.

`make soak` runs it for EXECD_FUZZ_S seconds; by itself, with tests/ on PYTHONPATH

    python -m soak.fuzz SECONDS [SEED [SUBJECT...]]

It goes through the subjects of fuzz_subjects.py in rounds. What a round draws follows from the seed and its number
alone: a failure is shown with the smallest example of it and the command that finds it again.
"""

from __future__ import annotations

import secrets
import sys
import time
import traceback
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from soak.fuzz_subjects import SUBJECTS

EXAMPLES = 1000
SEEDS = 1 << 32


@dataclass
class Findings:
    """What a run came to.

    Attributes:
        seed: from which it began.
        executions: how many examples were looked at, by subject.
        seconds: how long that took, by subject.
        failures: what was found, one text each.
    """

    seed: int
    executions: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [
            f"{name}: {count:,} in {self.seconds[name]:.0f} s, {count / max(self.seconds[name], 1e-9):,.0f}/s"
            for name, count in self.executions.items()
        ]
        total, seconds = sum(self.executions.values()), sum(self.seconds.values())
        speed = f"{total:,} executions, {total / max(seconds, 1e-9):,.0f}/s"
        return "\n".join([*rows, *self.failures, f"seed {self.seed}: {speed}, {len(self.failures)} findings"])


def fuzz(seconds: float, first: int, names: list[str]) -> Findings:
    """Fuzzes for some time, and one round at least; a subject that has failed is left out of later rounds."""
    found = Findings(first)
    left = list(names)
    end = time.monotonic() + seconds
    number = first
    while left and (number == first or time.monotonic() < end):
        for name in list(left):
            began = time.monotonic()
            failure = one_round(name, number, found)
            found.seconds[name] = found.seconds.get(name, 0.0) + time.monotonic() - began
            if failure:
                found.failures.append(f"{failure}\nagain: python -m soak.fuzz 0 {number} '{name}'")
                left.remove(name)
        number += 1
    return found


def one_round(name: str, number: int, found: Findings) -> str:
    """Looks at EXAMPLES of a subject; the traceback with the smallest example that fails, "" where none does."""
    strategy, look = SUBJECTS[name]

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def look_at_many(drawn: object) -> None:
        found.executions[name] = found.executions.get(name, 0) + 1
        look(drawn)

    try:
        look_at_many()
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        return traceback.format_exc()
    return ""


def main(arguments: list[str]) -> int:
    """Fuzzes and tells what was found; 0 where that is nothing."""
    first = int(arguments[1]) if arguments[1:] else secrets.randbelow(SEEDS)
    found = fuzz(float(arguments[0]), first, arguments[2:] or list(SUBJECTS))
    sys.stdout.write(f"{found}\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
