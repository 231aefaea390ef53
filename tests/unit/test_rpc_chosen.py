"""What a report is asked for: a tree by its root, one process of it, and what of it is not there."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, tree
from execd.errors import NotFound, UsageError
from execd.model.profile import Column
from execd.model.session import SessionSpec, State
from execd.model.target import TargetKey
from execd.rpc import chosen
from execd.rpc.chosen import Choice
from execd.rpc.reports import ReportsServicer
from execd_api.v1 import reports_pb2
from store_samples import STARTED_AT, a_target

if TYPE_CHECKING:
    from execd.model.profile import Profile
    from fake_daemons import Daemon


def record(daemon: Daemon, stored: list[bool], collector: str = "calls") -> list[str]:
    """A tree that has ended, of processes from 1 on, and whether something of each is stored; the ids."""
    store = daemon.store
    group = store.new_group()
    ids = []
    for pid, has_profile in enumerate(stored, 1):
        spec = SessionSpec(collector, children=pid == 1)
        target = replace(a_target(), key=TargetKey("b", pid, 7))
        session = store.add_session(target, spec, name="", group=group, started_at=STARTED_AT)
        if has_profile:
            part = tree([Node(-1, "work", pid)], pid=pid, session=session.id, collector=collector)
            store.add_profile(part, session=session.id, reason="final")
        store.save_session(replace(session, state=State.STOPPED, ended_at=STARTED_AT + 1))
        ids.append(session.id)
    return ids


def calls(profile: Profile) -> int:
    return sum(profile.column("calls"))


@pytest.mark.parametrize("word", ["s1", "g1", "1", ""])
def test_a_root_stands_for_its_tree(daemon: Daemon, word: str) -> None:
    record(daemon, [True] * 4)
    found = Choice(daemon.registry, daemon.store).of_one(word, 0)
    assert (calls(found.profile), len(found.parts), len(found.stored)) == (10, 4, 4)
    assert found.profile.header.tree is not None
    assert (found.profile.header.tree.session, found.profile.header.tree.count) == ("s1", 4)


def test_one_process_is_chosen_by_its_pid(daemon: Daemon) -> None:
    record(daemon, [True] * 4)
    choice = Choice(daemon.registry, daemon.store)
    found = choice.of_one("s1", 3)
    assert (calls(found.profile), found.parts, found.profile.header.tree) == (3, (), None)
    with pytest.raises(UsageError, match="of process 9") as refused:
        choice.of_one("s1", 9)
    assert refused.value.remedy == "choose one of: 1, 2, 3, 4"
    with pytest.raises(UsageError, match="of process 9"):
        choice.of_one("p2", 9)


def test_what_is_not_stored_of_a_tree_is_told_be_it_of_the_root(daemon: Daemon) -> None:
    record(daemon, [False, True, False, True])
    found = Choice(daemon.registry, daemon.store).of_one("s1", 0)
    assert calls(found.profile) == 6
    told = found.profile.header.caveats[0]
    assert told.startswith("2 of its processes had ended before anything of them was stored: ")


def test_a_tree_of_which_nothing_is_stored_is_not_found(daemon: Daemon) -> None:
    record(daemon, [False, False])
    with pytest.raises(NotFound, match="s1"):
        Choice(daemon.registry, daemon.store).of_one("s1", 0)


def test_a_tree_of_one_process_is_one_too(daemon: Daemon) -> None:
    record(daemon, [True])
    found = Choice(daemon.registry, daemon.store).of_one("s1", 0)
    assert (calls(found.profile), len(found.parts)) == (1, 1)


def test_a_report_adds_up_the_root_and_the_latest(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    record(daemon, [True] * 6)
    monkeypatch.setattr(chosen, "MOST_ADDED", 3)
    found = Choice(daemon.registry, daemon.store).of_one("s1", 0)
    assert calls(found.profile) == 1 + 5 + 6
    assert found.profile.header.caveats[0] == "3 processes that came earlier are not in the sum: it takes 3"


def test_traces_of_a_tree_do_not_add_up_and_one_can_be_named(daemon: Daemon) -> None:
    record(daemon, [True, True], "trace")
    choice = Choice(daemon.registry, daemon.store)
    with pytest.raises(UsageError, match="s1 is 2 traces") as refused:
        choice.of_one("s1", 0)
    assert refused.value.remedy == "choose one process, --process PID: 1, 2"
    assert choice.of_one("s1", 2).profile.header.pid == 2


def test_trees_are_added_up_with_others(daemon: Daemon) -> None:
    record(daemon, [True, True])
    others = record(daemon, [True, True, True])
    found = Choice(daemon.registry, daemon.store).of_several(["s1", others[0]])
    assert (calls(found.profile), found.profile.header.tree) == (9, None)


def snapshot(daemon: Daemon, sessions: list[str], calls_each: int, at: float, name: str = "") -> str:
    """Stores snapshots as the registry does, the root's first, which has the name; returns that one's id."""
    ids = []
    for session in sessions:
        pid = daemon.store.session(session).target.key.pid
        part = tree([Node(-1, "work", calls_each * pid)], pid=pid, session=session)
        part = replace(part, header=replace(part.header, ended_at=STARTED_AT + at))
        ids.append(daemon.store.add_profile(part, session=session, reason="snapshot", name="" if ids else name).id)
    return ids[0]


@pytest.mark.parametrize("by_name", [True, False])
def test_a_snapshot_of_a_root_is_of_the_whole_tree_then(daemon: Daemon, by_name: bool) -> None:  # noqa: FBT001 - a case
    # The fourth had ended by then, of the third nothing is stored.
    sessions = record(daemon, [False, False, False, True])
    first = snapshot(daemon, sessions[:2], 10, 20, "a")
    snapshot(daemon, sessions[1:2], 500, 25)
    later = snapshot(daemon, sessions[:3], 1000, 30)
    target = replace(a_target(), key=TargetKey("b", 9, 7))
    late = daemon.store.add_session(target, SessionSpec("calls"), name="", group="g1", started_at=STARTED_AT + 29)
    snapshot(daemon, [late.id], 7, 30)
    choice = Choice(daemon.registry, daemon.store)
    found = choice.of_one("a" if by_name else first, 0)
    assert calls(found.profile) == 10 + 20 + 4
    assert found.profile.header.tree is not None
    assert (found.profile.header.tree.snapshot, found.profile.header.tree.count, len(found.parts)) == (first, 3, 3)
    assert found.profile.header.caveats[0].startswith("one of its processes had ended before anything")
    assert calls(choice.of_one(first, 2).profile) == 20
    with pytest.raises(UsageError, match="of process 9") as refused:
        choice.of_one(first, 9)
    assert refused.value.remedy == "choose one of: 1, 2, 4"
    assert calls(choice.of_one(later, 0).profile) == 1000 + 2000 + 3000 + 4 + 63
    assert calls(choice.of_several([first, later]).profile) == 34 + 6067


def told(daemon: Daemon, **fields: Any) -> str:
    context: Any = None
    service = ReportsServicer(daemon.registry, daemon.store)
    return b"".join(one.data for one in service.Render(reports_pb2.RenderRequest(**fields), context)).decode()


def test_a_report_of_a_trees_snapshot_names_it_and_goes_on_with_it(daemon: Daemon) -> None:
    first = snapshot(daemon, record(daemon, [False, False]), 10, 20)
    report = told(daemon, subject=first, format="text")
    assert f"snapshot {first} of session s1" in report
    assert f"next: execctl report {first} --callers" in report
    assert json.loads(told(daemon, subject=first, format="json"))["tree"]["snapshot"] == first


def test_snapshots_of_a_tree_compare_as_wholes_and_so_do_trees(daemon: Daemon) -> None:
    sessions = record(daemon, [False] * 3)
    first = snapshot(daemon, sessions[:2], 10, 20, "a")
    later = snapshot(daemon, sessions, 20, 30)
    for compare in ("prev", "a", first):
        document = json.loads(told(daemon, subject=later, format="json", compare=compare))
        assert document["per_second"] is False
        assert [one["delta"]["calls"] for one in document["changes"]] == [120 - 30]
    assert "of one session: what happened between" in " ".join(
        told(daemon, subject=later, format="text", compare="a").split()
    )
    # Of one process that process, whatever the snapshot is called by.
    for fields in ({"subject": later, "process": 2}, {"subject": sessions[1]}):
        for compare in ("prev", "a"):
            document = json.loads(told(daemon, format="json", compare=compare, **fields))
            assert [one["delta"]["calls"] for one in document["changes"]] == [20]
    other = record(daemon, [True] * 2)[0]
    document = json.loads(told(daemon, subject=other, format="json", compare="s1"))
    assert document["per_second"] is True
    assert [one["earlier"]["calls"] for one in document["changes"]] == [pytest.approx(120 / 30.25)]


def test_a_process_that_is_several_sessions_does_not_compare(daemon: Daemon) -> None:
    first = record(daemon, [True, True])[0]
    again = daemon.store.add_session(
        daemon.store.session("s2").target, SessionSpec("calls"), name="", group="g1", started_at=STARTED_AT
    )
    part = tree([Node(-1, "work", 5)], pid=2, session=again.id)
    daemon.store.add_profile(part, session=again.id, reason="final")
    with pytest.raises(UsageError, match="here are s2, s3") as refused:
        told(daemon, subject=first, format="text", compare="p1", process=2)
    assert refused.value.remedy == "name one"


def test_one_process_of_a_tree_compares(daemon: Daemon) -> None:
    first = record(daemon, [True, True])[0]
    assert told(daemon, subject=first, format="text", compare="p1", process=2).startswith("Target: ")


def memory(pid: int, session: str, size: int, ended_at: float) -> Profile:
    """One block of a line."""
    part = tree([Node(-1, "work")], pid=pid, session=session, collector="memory")
    figures = (("blocks", "count", 1), ("bytes", "bytes", size), ("frames", "count", 1))
    columns = tuple(Column(name, unit, array("q", [value])) for name, unit, value in figures)
    return replace(part, columns=columns, header=replace(part.header, ended_at=ended_at))


def test_growth_of_a_tree_is_that_of_the_whole(daemon: Daemon) -> None:
    sessions = record(daemon, [False, False], "memory")
    for step in (1, 2):
        for session in sessions:
            pid = daemon.store.session(session).target.key.pid
            # The descendant alone grows.
            part = memory(pid, session, 100 * step if pid == 2 else 100, STARTED_AT + 10 + step)
            daemon.store.add_profile(part, session=session, reason="snapshot")
    service = ReportsServicer(daemon.registry, daemon.store)
    context: Any = None

    def grown(subject: str) -> list[Any]:
        request = reports_pb2.GrowthRequest(subject=subject, format="json", last=2, limit=0)
        document = json.loads(b"".join(one.data for one in service.Growth(request, context)))
        assert [one["id"] for one in document["profiles"]] in (["p1", "p3"], ["p2", "p4"])
        return [one["size"] for one in document["growth"]]

    assert grown("s1") == grown("1") == [[200, 300]]
    assert grown("s2") == [[100, 200]]
