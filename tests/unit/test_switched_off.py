"""The functions that a limit of the overhead has switched off, as headers hold them and reports list them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from call_trees import Node, header, tree
from execd.model.merge import merge
from execd.model.overhead import SWITCHED_OFF, switched_off_in
from execd.model.profile import ROOT
from execd.reports.times import time_facts

if TYPE_CHECKING:
    from execd.model.profile import Profile

OFF = {
    "name": "step",
    "file": "app.py",
    "first_line": 3,
    "calls": 100,
    "mean_ns": 700,
    "after_s": 1.5,
    "limit": 0.2,
}


def test_what_was_switched_off_is_read_from_a_header_and_garbage_is_left_out() -> None:
    told = replace(header(), extra={SWITCHED_OFF: [OFF, {**OFF, "calls": "many"}, None, {}]})
    (found,) = switched_off_in(told)
    assert (found.name, found.calls, found.limit) == ("step", 100, 0.2)
    assert switched_off_in(replace(header(), extra={SWITCHED_OFF: "x"})) == []


def with_switched_off(*rows: dict[str, object]) -> Profile:
    return tree([Node(ROOT, "main", self_ns=10)], extra={SWITCHED_OFF: list(rows)})


def test_of_a_sum_what_was_switched_off_in_any_part_is_told() -> None:
    found = merge([with_switched_off(OFF), with_switched_off(OFF, {**OFF, "name": "part"})])
    assert [one.name for one in switched_off_in(found.header)] == ["step", "step", "part"]


def test_a_report_lists_what_was_switched_off_and_counts_what_is_too_much() -> None:
    rows = [{**OFF, "name": f"step{number}", "limit": 0.005} for number in range(12)]
    lines = [text for key, text in time_facts(with_switched_off(*rows).header) if key == "Switched off"]
    assert lines[0] == "to keep the overhead below 0.5%: step0 (app.py:3), 100 calls, mean 700 ns, after 1.5 s"
    assert lines[10:] == ["2 more functions, which JSON has"]
