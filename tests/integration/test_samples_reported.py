"""Stored samples: what execctl and the Python API show of them, by view and by time, compared, and as exports."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import execctl
import pytest
from daemons import Daemon
from execd.model.session import SessionSpec, State
from execd.model.target import TargetKey
from execd.store.store import Store
from execd_api.pprof import profile_pb2
from sample_trees import STACKS, STARTED_AT, Stack, samples
from store_samples import a_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SLICES = (0, 10, 20)


@pytest.fixture(scope="module")
def recorded() -> Iterator[Daemon]:
    """A daemon with a tree of two processes that were sampled in slices, s1 and s2, and one sampled at once, s3."""
    with Daemon() as daemon:
        daemon.kill()
        store = Store.open(daemon.data_dir)
        group = store.new_group()
        for pid, is_root in ((4711, True), (4712, False)):
            stacks = [
                stack._replace(label=replace(stack.label, pid=pid, at_s=STARTED_AT + start))
                for start in SLICES[: 3 if is_root else 1]
                for stack in STACKS
            ]
            keep(store, stacks, pid, group, children=is_root)
        keep(store, [Stack(("main:3", "old:9"), (8, 2, 0, 0, 1))], 4713, store.new_group(), children=False)
        store.close()
        daemon.start()
        yield daemon


def keep(store: Store, stacks: list[Stack], pid: int, group: str, *, children: bool) -> None:
    """Store a session that has ended, with its only profile."""
    target = replace(a_target(), key=TargetKey("b", pid, 7))
    spec = SessionSpec("samples", children=children)
    session = store.add_session(target, spec, name="", group=group, started_at=STARTED_AT)
    profile = samples(stacks, pid=pid, session=session.id, ended_at=STARTED_AT + 30.0, profile="")
    store.add_profile(profile, session=session.id, reason="final")
    store.save_session(replace(session, state=State.STOPPED, ended_at=STARTED_AT + 30))


def test_a_view_a_line_and_a_time_are_chosen_by_options(recorded: Daemon) -> None:
    assert "View cpu" in recorded.execctl("report", "p1")
    shown = recorded.report("p1", "--view", "gil", "--by", "line", "--last", "5s")
    assert (shown["view"], shown["by"], shown["totals"]["samples"]) == ("gil", "line", 31)
    assert [(one["line"], one["self"]["samples"]) for one in shown["functions"] if one["name"] == "work"] == [
        (21, 18),
        (22, 7),
    ]


def test_a_span_is_of_the_clock_that_is_named(recorded: Daemon) -> None:
    first, last = (f"{datetime.fromtimestamp(STARTED_AT + one, UTC):%Y-%m-%dT%H:%M:%SZ}" for one in (10, 20))
    assert recorded.report("p1", "--between", first, last)["totals"]["samples"] == 40
    assert recorded.report("p1", "--between", first, last.partition("T")[2])["totals"]["samples"] == 40


def test_a_time_that_is_not_kept_is_told_with_the_time_that_is(recorded: Daemon) -> None:
    with recorded.start_execctl("report", "p1", "--between", "2001-01-01T10:02Z", "10:05Z") as execctl_run:
        _, told = execctl_run.communicate(timeout=60)
    assert execctl_run.returncode == 2
    assert "nothing is kept from 2001-01-01 10:02:00 to 10:05:00 UTC" in told
    assert "ask for a time that is kept: from 2023-11-14 22:13:20 to 22:13:50 UTC" in told


def test_a_tree_is_narrowed_with_its_processes(recorded: Daemon) -> None:
    whole = recorded.report("s1")
    assert [one["figures"]["samples"] for one in whole["processes"]] == [300, 100]
    assert whole["profile"]["extra"]["verified"] == 2400
    early = recorded.report("s1", "--between", "2023-11-14T22:13:20Z", "22:13:30Z", "--view", "wall")
    assert [one["figures"]["samples"] for one in early["processes"]] == [100, 100]
    late = recorded.report("s1", "--last", "5s", "--view", "wall")
    assert [one["figures"]["samples"] for one in late["processes"]] == [100]
    each = recorded.report("s1", "--per-process", "--view", "gil")
    assert [one["totals"]["samples"] for one in each["processes"]] == [93, 31]


def test_shares_of_two_recordings_compare(recorded: Daemon) -> None:
    assert "gone    -100.0" in recorded.execctl("diff", "p3", "p1")
    found = json.loads(recorded.execctl("diff", "p3", "p1", "--json", "--view", "wall"))
    assert found["totals"] == {"earlier": 11, "later": 300}


def test_every_export_is_of_the_view_and_the_time(recorded: Daemon, tmp_path: Path) -> None:
    words = ("--view", "gil", "--last", "5s", "--thread", "worker", "--strip-dirs")
    scope = json.loads(recorded.execctl("export", "p1", "--format", "speedscope", *words))
    (thread,) = scope["profiles"]
    assert (thread["endValue"], {one.get("file") for one in scope["shared"]["frames"]}) == (
        20_000_000,
        {"app.py", "server.py", None},
    )
    stacks = recorded.execctl("export", "p1", "--format", "collapsed", *words)
    assert stacks.splitlines() == ["server.py:4(run);app.py:4(fib) 2", "server.py:4(run);app.py:4(fib);app.py:4(fib) 2"]
    recorded.execctl("export", "p1", "--format", "pprof", "-o", str(tmp_path / "out"), *words)
    written = profile_pb2.Profile.FromString(gzip.decompress((tmp_path / "out").read_bytes()))
    assert sum(one.value[0] for one in written.sample) == 4


@pytest.mark.parametrize(
    ("settings", "count", "with_gil"),
    [
        ({}, 300, 90),
        ({"view": "cpu"}, 120, 90),
        ({"last_s": 5}, 100, 30),
        ({"from_s": STARTED_AT, "to_s": STARTED_AT + 20}, 200, 60),
    ],
)
def test_the_api_takes_the_same_settings(
    recorded: Daemon, settings: Mapping[str, Any], count: int, with_gil: int
) -> None:
    with recorded.client() as client:
        profile = client.profile("p1", execctl.SamplesProfile, settings=settings)
        shown = client.report("p1", settings={"view": "gil", **settings}).text
    assert (profile.totals["samples"], profile.totals["running_with_gil"]) == (count, with_gil)
    assert sum(one.own["samples"] for one in profile.functions) == count
    assert f"View {settings.get('view', 'gil')}" in shown
