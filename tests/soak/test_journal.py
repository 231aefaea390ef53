"""The soak's journal and plan: what was done is not done again, and what is drawn follows from seed and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from soak.journal import Entry, Journal, OtherSeed
from soak.plan import CYCLES, FORKS, KILLERS, KILLS, plan

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("3.9", "3.12", "3.15")
PASSED = Entry("forks/3.9/plain/10", 10, 1.5, [], {"outcomes": {"well": 10}})
FAILED = Entry("forks/3.12/plain/10", 10, 1.5, ["a child is ill"])


def test_the_next_run_knows_what_was_done_and_does_again_what_failed(tmp_path: Path) -> None:
    first = Journal(tmp_path / "new", None, 7)
    first.add(PASSED)
    first.add(FAILED)
    after = Journal(tmp_path / "new", None, 8)
    assert after.seed == 7
    assert after.entries == [PASSED, FAILED]
    assert [after.has_passed(entry.key) for entry in (PASSED, FAILED)] == [True, False]


def test_a_line_that_was_cut_costs_its_own_step_alone(tmp_path: Path) -> None:
    Journal(tmp_path, 7, 0).add(PASSED)
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text() + '\n{"key": "forks/3.12/pl')
    Journal(tmp_path, 7, 0).add(FAILED)
    assert Journal(tmp_path, 7, 0).entries == [PASSED, FAILED]


def test_a_folder_holds_the_run_of_one_seed(tmp_path: Path) -> None:
    Journal(tmp_path, 7, 0)
    with pytest.raises(OtherSeed, match="seed 7"):
        Journal(tmp_path, 8, 0)


def test_a_seed_of_zero_is_a_seed(tmp_path: Path) -> None:
    assert Journal(tmp_path, 0, 5).seed == 0
    assert Journal(tmp_path, None, 5).seed == 0


@pytest.mark.parametrize("scale", [0.001, 0.05, 1.0])
def test_a_plan_holds_at_least_its_share_of_everything_and_each_step_once(scale: float) -> None:
    steps = plan(scale, VERSIONS)
    amounts: dict[str, int] = {}
    for step in steps:
        kind = step.key.partition("/")[0]
        amounts[kind] = amounts.get(kind, 0) + step.amount
    assert len({step.key for step in steps}) == len(steps)
    assert amounts["cycles"] >= CYCLES * scale
    assert amounts["forks"] >= FORKS * scale
    for kind in KILLERS:
        assert amounts[kind] == max(1, round(KILLS * scale))


def test_a_plan_is_mixed() -> None:
    steps = [step.key.partition("/")[0] for step in plan(1, VERSIONS)]
    assert set(steps[: len(steps) // 4]) == set(steps)
