"""Growth: what took more in every snapshot, from hand-made profiles to the report, and the series in the store."""

from __future__ import annotations

import itertools
import json
import random
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import header
from execd.errors import NotFound, UsageError
from execd.model.growth import Amount, collectors_of, growing
from execd.model.profile import ROOT, Column, Function, Label, Location, Profile, check
from execd.model.session import SessionSpec
from execd.model.target import TargetKey
from execd.reports import ReportOptions
from execd.reports.growth import render
from execd.sessions import archive
from execd.store.store import Store
from store_samples import PID, STARTED_AT, a_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from execd.model.stored import Reason, StoredProfile

Traceback = tuple[tuple[str, int], ...]
MAIN, CART, ORDERS = ("/srv/main.py", 3), ("/srv/cart.py", 12), ("/srv/orders.py", 61)
BOTH = collectors_of("")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


def state(
    collector: str, names: tuple[str, str], rows: list[tuple[int, Function, int, int, int]], **fields: Any
) -> Profile:
    """A profile of a state; rows: parent, function, line, count, bytes."""
    functions = tuple(dict.fromkeys(row[1] for row in rows))
    places = [(functions.index(function), line) for _, function, line, _, _ in rows]
    locations = tuple(dict.fromkeys(places))
    columns = [(names[0], "count", [row[3] for row in rows]), (names[1], "bytes", [row[4] for row in rows])]
    if collector == "memory":
        columns.append(("frames", "count", [1] * len(rows)))
    return check(
        Profile(
            header=header(collector=collector, **fields),
            functions=functions,
            locations=tuple(Location(*place) for place in locations),
            labels=(Label(0, "", PID),),
            parents=array("i", (row[0] for row in rows)),
            node_locations=array("i", (locations.index(place) for place in places)),
            node_labels=array("i", bytes(4 * len(rows))),
            columns=tuple(Column(name, unit, array("q", values)) for name, unit, values in columns),
        )
    )


def memory(blocks: Mapping[Traceback, tuple[int, int]], **fields: Any) -> Profile:
    """A profile of blocks by traceback, the oldest frame first: how many, and their bytes."""
    rows: list[tuple[int, Function, int, int, int]] = []
    for traceback, (count, size) in blocks.items():
        parent = ROOT
        for place, (file, line) in enumerate(traceback, 1):
            figures = (count, size) if place == len(traceback) else (0, 0)
            rows.append((parent, Function("", "", file, 0), line, *figures))
            parent = len(rows) - 1
    return state("memory", ("blocks", "bytes"), rows, **fields)


def census(types: Mapping[str, tuple[int, int]], **fields: Any) -> Profile:
    """A profile of objects by type, "module.name"."""
    rows = []
    for name, figures in types.items():
        module, _, qualname = name.rpartition(".")
        rows.append((ROOT, Function(qualname, qualname, module, 0), 0, *figures))
    return state("census", ("objects", "bytes"), rows, **fields)


def series(*sizes: Mapping[str, int]) -> list[dict[Traceback, Amount]]:
    return [{((name, 0),): Amount(1, size) for name, size in one.items()} for one in sizes]


def grown(*sizes: Mapping[str, int]) -> list[str]:
    return [growth.place[0][0] for growth in growing(series(*sizes))]


def test_what_grew_at_every_step_is_listed_by_its_gain() -> None:
    assert grown({"a": 1, "b": 5, "c": 9}, {"a": 3, "b": 6, "c": 9}, {"a": 90, "b": 7, "c": 10}) == ["a", "b"]


def test_what_is_new_has_grown_from_nothing_and_what_comes_and_goes_has_not() -> None:
    assert grown({}, {"new": 1, "gone": 9}, {"new": 2}) == ["new"]
    assert grown({"gone": 1}, {}, {"gone": 5}) == []
    assert grown({"late": 0}, {}, {"late": 5}) == []


def test_one_snapshot_says_nothing_of_growth() -> None:
    assert grown({"a": 1}) == []


def test_growth_is_found_as_by_its_definition() -> None:
    """Against the sentence itself, for random series."""
    randomness = random.Random(5)  # noqa: S311 - any series does
    for _ in range(300):
        sizes = [
            {name: randomness.randrange(1, 6) for name in "abcd" if randomness.random() < 0.8}
            for _ in range(randomness.randrange(2, 5))
        ]
        steps = list(itertools.pairwise(sizes))
        expected = {name for name in "abcd" if all(new.get(name, 0) > old.get(name, 0) for old, new in steps)}
        assert set(grown(*sizes)) == expected


def leak(step: int, **fields: Any) -> Profile:
    """Blocks of a planted leak among others that come and go; both end in one line, by two ways."""
    blocks: dict[Traceback, tuple[int, int]] = {
        (MAIN, CART): (64 + 8 * step, 64 * 100 + 800 * step),
        (ORDERS, CART): (5, 500),
        (MAIN, ORDERS): (20_000 - step % 2, 2_000_000 - step % 2),
    }
    return memory(blocks, profile=f"p{step + 1}", ended_at=1_700_000_010.0 + step, **fields)


def test_the_report_names_the_line_that_grew_and_the_snapshots() -> None:
    lines = render((leak(step) for step in range(3)), "text", ReportOptions(), 0).decode().splitlines()
    assert "Snapshots: p1, p2, p3, over 2.000 s" in lines
    assert "Grew: what has more bytes in each of 3 snapshots than in the one before, by lineno" in lines
    assert lines[lines.index("") + 1 :] == [
        "  +size  +count    size  count  where",
        "+1600 B     +16  8500 B     85  /srv/cart.py:12",
        "",
        "next: execctl report p3 --by traceback --include /srv/cart.py:12",
    ]


def test_by_traceback_the_way_to_the_line_is_told() -> None:
    options = ReportOptions(settings={"by": "traceback"})
    lines = render((leak(step) for step in range(3)), "text", options, 0).decode().splitlines()
    assert lines[-4].endswith("  8000 B     80  /srv/cart.py:12")
    assert lines[-3] == "    from /srv/main.py:3"


def test_filters_are_those_of_the_reports_on_memory() -> None:
    options = ReportOptions(settings={"exclude": ["*/cart.py"]})
    assert "nothing grew in every one" in render((leak(step) for step in range(3)), "text", options, 0).decode()


def test_json_has_every_figure() -> None:
    document = json.loads(render((leak(step) for step in range(3)), "json", ReportOptions(), 1))
    assert (document["schema"], document["report"], document["by"], document["grown"]) == (1, "growth", "lineno", 1)
    assert [profile["id"] for profile in document["profiles"]] == ["p1", "p2", "p3"]
    assert document["growth"] == [
        {
            "frames": [{"file": "/srv/cart.py", "line": 12}],
            "count": [69, 77, 85],
            "size": [6900, 7700, 8500],
            "count_delta": 16,
            "size_delta": 1600,
        }
    ]


def test_types_of_a_census_grow() -> None:
    two = [census({"app.Order": (10, 480), "builtins.dict": (9, 90)}), census({"app.Order": (12, 576)})]
    lines = render(two, "text", ReportOptions(settings={"by": "type"}), 0).decode().splitlines()
    assert lines[-1] == "+96 B      +2  576 B     12  app.Order"
    (row,) = json.loads(render(two, "json", ReportOptions(), 0))["growth"]
    assert (row["type"], row["count"]) == ("app.Order", [10, 12])


def test_more_than_is_shown_is_counted() -> None:
    two = [census({}), census({f"app.T{number}": (1, number) for number in range(1, 8)})]
    assert render(two, "text", ReportOptions(), 3).decode().splitlines()[-1] == "4 more grew"


@pytest.mark.parametrize(
    ("settings", "form"),
    [({"by": "type"}, "text"), ({"by": "size"}, "text"), ({}, "pstats"), ({"missing": True}, "text")],
)
def test_what_does_not_fit_is_refused(settings: dict[str, object], form: str) -> None:
    with pytest.raises(UsageError):
        render([leak(0), leak(1)], form, ReportOptions(settings=settings), 0)


def test_a_hostile_name_is_made_harmless() -> None:
    two = [census({}), census({"app.\x1b[2J\nT": (1, 1)})]
    assert b"app.\\x1b[2J\\x0aT" in render(two, "text", ReportOptions(), 0)


def stored(store: Store, session: str, collector: str, reason: Reason = "snapshot", name: str = "") -> StoredProfile:
    made = memory({(CART,): (1, 1)}) if collector == "memory" else census({"app.T": (1, 1)})
    return store.add_profile(made, session=session, reason=reason, name=name)


def begun(store: Store, collector: str, start_ticks: int = 1, name: str = "") -> str:
    target = a_target()
    target = type(target)(
        TargetKey(target.key.boot_id, PID, start_ticks),
        *(target.uid, target.command_line, target.executable, target.python_version),
    )
    spec = SessionSpec(collector)
    return store.add_session(target, spec, name=name, group=store.new_group(), started_at=STARTED_AT).id


def test_a_series_is_of_one_session_without_checkpoints_the_latest_last(store: Store) -> None:
    session, other = begun(store, "memory"), begun(store, "memory")
    taken = [stored(store, session, "memory").id for _ in range(4)]
    stored(store, other, "memory")
    stored(store, session, "memory", "checkpoint")
    last = stored(store, session, "memory", "final").id
    assert [row.id for row in archive.series(store, session, 3, BOTH)] == [*taken[-2:], last]
    assert [row.id for row in archive.series(store, str(PID), 9, BOTH)] == [*taken, last]
    assert [row.id for row in archive.series(store, "", 9, BOTH)] == [*taken, last]
    assert [row.id for row in archive.series(store, "service", 9, BOTH)] == [*taken, last]


def test_all_censuses_of_a_process_are_one_series(store: Store) -> None:
    """Each is a session of its own; one of an earlier process of that PID is none of them."""
    earlier_process = stored(store, begun(store, "census", start_ticks=7), "census", "final")
    taken = [stored(store, begun(store, "census"), "census", "final") for _ in range(3)]
    assert archive.series(store, str(PID), 9, BOTH) == taken
    assert archive.earlier(store, taken[2], "prev") == taken[1]
    assert archive.earlier(store, taken[2], "first") == taken[0]
    with pytest.raises(NotFound):
        archive.earlier(store, earlier_process, "prev")


def test_how_things_are_grouped_says_which_recording_is_meant(store: Store) -> None:
    session = begun(store, "memory")
    blocks = [stored(store, session, "memory") for _ in range(2)]
    types = [stored(store, begun(store, "census"), "census", "final") for _ in range(2)]
    assert archive.series(store, str(PID), 2, collectors_of("")) == types
    assert archive.series(store, str(PID), 2, collectors_of("type")) == types
    assert archive.series(store, str(PID), 2, collectors_of("traceback")) == blocks


def test_a_series_of_fewer_than_two_is_told(store: Store) -> None:
    session = begun(store, "memory", name="night")
    with pytest.raises(NotFound, match="of all there is no snapshot"):
        archive.series(store, "", 3, BOTH)
    one = stored(store, session, "memory")
    with pytest.raises(NotFound, match=f"of night there is only {one.id}"):
        archive.series(store, "night", 3, BOTH)
    with pytest.raises(NotFound):
        archive.series(store, "s99", 3, BOTH)
    with pytest.raises(NotFound):
        archive.series(store, "nobody", 3, BOTH)


def test_a_recording_that_is_no_state_does_not_grow(store: Store) -> None:
    session = begun(store, "lines")
    for _ in range(2):
        made = state("lines", ("hits", "bytes"), [(ROOT, Function("f", "f", "a.py", 1), 2, 1, 1)])
        store.add_profile(made, session=session, reason="snapshot")
    with pytest.raises(UsageError, match="not of lines"):
        archive.series(store, session, 2, BOTH)
