"""What a report is asked for: a tree by its root, one process of it, and what of it is not there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import Node, tree
from execd.errors import NotFound, UsageError
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


def test_a_tree_does_not_compare_and_one_process_of_it_does(daemon: Daemon) -> None:
    first = record(daemon, [True, True])[0]
    service = ReportsServicer(daemon.registry, daemon.store)
    context: Any = None
    request = reports_pb2.RenderRequest(subject=first, format="text", compare="p1")
    with pytest.raises(UsageError, match="of one process") as refused:
        list(service.Render(request, context))
    assert "--process PID" in refused.value.remedy
    request.process = 2
    text = b"".join(chunk.data for chunk in service.Render(request, context)).decode()
    assert text.startswith("Target: ")
