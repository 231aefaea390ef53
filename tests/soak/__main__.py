"""The soak: attaches, kills and forks by the thousand, on every interpreter.

`make soak`, or with tests/ on PYTHONPATH

    python -m soak [PREFIX...]

which does the steps whose keys begin so, else all. It goes on where the last run in the same folder ended; steps that
failed are done again. Variables:
  EXECD_SOAK_DIR    the folder of the journal, .soak
  EXECD_SOAK_SEED   from which all random choices follow; without it a new one is drawn and printed
  EXECD_SOAK_SCALE  how much: 1 is what the judging asks, 0.01 a hundredth
  EXECD_TEST_PACKAGES  where gunicorn and uvicorn lie, a folder a minor version; without it they are installed
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpreters import find_interpreters, required_versions
from processes import MARK, left_over, living_pids
from soak.bench import Bench, StepTimeout, opened, time_limit
from soak.journal import Entry, Journal
from soak.plan import Step, plan
from soak.summary import summary

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEDS = 1 << 32


def main(prefixes: list[str], environ: Mapping[str, str]) -> int:
    """Runs what is to be done; 0 where nothing has failed."""
    interpreters = find_interpreters(environ)
    if missing := set(required_versions(environ)) - interpreters.keys():
        say(f"these interpreters are required and missing: {', '.join(sorted(missing))}")
        return 1
    folder, scale = Path(environ.get("EXECD_SOAK_DIR", ".soak")), float(environ.get("EXECD_SOAK_SCALE", "1"))
    told = environ.get("EXECD_SOAK_SEED")
    journal = Journal(folder, int(told) if told else None, secrets.randbelow(SEEDS))
    chosen = [step for step in plan(scale, interpreters) if not prefixes or step.key.startswith(tuple(prefixes))]
    due = [step for step in chosen if not journal.has_passed(step.key)]
    say(f"seed {journal.seed}, scale {scale}: {len(due)} of {len(chosen)} steps are left")
    os.environ[MARK] = str(os.getpid())
    # So that who ends the run ends the targets and the daemon too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with opened(interpreters, folder) as bench:
        passed = [run(step, bench, journal, scale) for step in due]
    say(summary(journal.entries, interpreters, journal.seed))
    return 0 if all(passed) else 1


def run(step: Step, bench: Bench, journal: Journal, scale: float) -> bool:
    """Does one step and keeps what came of it; whether nothing failed."""
    before, began = living_pids(), time.monotonic()
    failures, figures = attempted(step, bench, journal.seed)
    failures += [f"left running: {process}" for process in left_over(before)]
    entry = Entry(step.key, step.amount, round(time.monotonic() - began, 1), failures, figures)
    journal.add(entry)
    say(f"{'FAILED' if failures else 'passed'} {step.key} in {entry.seconds} s")
    for failure in failures:
        say(f"  {failure}")
    if failures:
        again = f"EXECD_SOAK_SEED={journal.seed} EXECD_SOAK_SCALE={scale} EXECD_SOAK_DIR=$(mktemp -d)"
        say(f"  again: {again} PYTHONPATH=tests {sys.executable} -m soak {step.key}")
    return not failures


def attempted(step: Step, bench: Bench, seed: int) -> tuple[list[str], dict[str, Any]]:
    """What a step came to, its own breakdown and its hanging among it."""
    try:
        with time_limit(step.limit_s):
            return step.run(bench, random.Random(f"{seed}/{step.key}"))  # noqa: S311 - it must be repeatable
    except (Exception, StepTimeout):  # noqa: BLE001 - the other steps are done all the same
        return [traceback.format_exc()], {}


def say(text: str) -> None:
    """One line for who watches, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
