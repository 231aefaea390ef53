"""An agent's table of calls, whole and mutilated: a profile or ProfileCorrupt, nothing else."""

from __future__ import annotations

import tracemalloc
from array import array
from dataclasses import replace
from typing import Any

import pytest
from call_trees import header
from execd.attach.table import TABLE_BYTES, read_table, table_limit
from execd.errors import ProfileCorrupt
from execd.model.codec import decode, encode
from execd.model.profile import ROOT, Function, Label, Profile, check
from execd_agent import wire
from hypothesis import example, given
from hypothesis import strategies as st

PID = 4711
HEADER = header(caveats=("known to the daemon",), lost={"known": 1})
HOSTILE = ("\x1b[31mred", "two\nlines", "\u202eright to left", "half \udcff of a pair", "", "\x00", "\U0001f980")


def table(**changes: Any) -> bytes:
    """Return the table of main -> work -> len in one thread; `changes` replace parts of it."""
    names = changes.pop("names", ("main", "work", "<built-in len>", "app.py", "~"))
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    arrays: dict[str, tuple[str, bytes]] = {
        "text_bytes": ("u1", b"".join(encoded)),
        "text_lengths": ("i4", array("i", map(len, encoded)).tobytes()),
        "functions": ("i4", array("i", (0, 0, 3, 1, 1, 1, 3, 9, 2, 2, 4, 0)).tobytes()),
        "locations": ("i4", array("i", (0, 0, 1, 0, 2, 0)).tobytes()),
        "parents": ("i4", array("i", (-1, 0, 1)).tobytes()),
        "node_locations": ("i4", array("i", (0, 1, 2)).tobytes()),
        "node_labels": ("i4", array("i", (0, 0, 0)).tobytes()),
        "calls": ("i8", array("q", (0, 5, 10)).tobytes()),
        "self_ns": ("i8", array("q", (100, 200, 300)).tobytes()),
        "open": ("i8", array("q", (1, 0, 0)).tobytes()),
    }
    facts: dict[str, Any] = {
        "span_ns": 600,
        "lost": {},
        "caveats": [],
        "labels": [{"thread_id": 9, "thread_name": "MainThread", "domain": 0}],
    }
    for name, value in changes.items():
        (arrays if name in arrays else facts)[name] = value
    kept = [(name, *value) for name, value in arrays.items() if value is not None]
    return wire.encode_table(facts, kept)


def i4(*values: int) -> tuple[str, bytes]:
    return "i4", array("i", values).tobytes()


def i8(*values: int) -> tuple[str, bytes]:
    return "i8", array("q", values).tobytes()


def read(data: bytes) -> Profile:
    return read_table(data, HEADER, PID)


def test_a_table_is_read_as_it_was_sent() -> None:
    profile = read(table())
    assert profile.functions == (
        Function("main", "main", "app.py", 1),
        Function("work", "work", "app.py", 9),
        Function("<built-in len>", "<built-in len>", "~", 0),
    )
    assert list(profile.parents) == [ROOT, 0, 1]
    assert profile.labels == (Label(9, "MainThread", PID),)
    assert [list(column.values) for column in profile.columns] == [[0, 5, 10], [100, 200, 300], [1, 0, 0]]
    assert profile.header == replace(HEADER, ended_at=HEADER.started_at + 600e-9)


@pytest.mark.parametrize("span", [None, "long", -1, 11 * 10**9, 1 << 80, 10**400, True])
def test_a_span_that_cannot_be_is_not_believed(span: object) -> None:
    assert read(table(span_ns=span)).header.ended_at == HEADER.ended_at


def test_what_the_agent_lost_and_warns_of_stands_beside_what_the_daemon_knows() -> None:
    profile = read(table(lost={"over the limit": 7}, caveats=["no ctypes", "known to the daemon"]))
    assert profile.header.lost == {"known": 1, "over the limit": 7}
    assert profile.header.caveats == ("known to the daemon", "no ctypes")


def test_a_table_of_nothing_is_a_profile_of_nothing() -> None:
    empty = {name: i8() for name in ("calls", "self_ns", "open")}
    places = {name: i4() for name in ("parents", "node_locations", "node_labels", "functions", "locations")}
    assert len(read(table(labels=[], **empty, **places)).parents) == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_kept_as_it_is(name: str) -> None:
    labels = [{"thread_id": 9, "thread_name": name, "domain": 0}]
    profile = read(table(names=(name, name, "b", name, "~"), labels=labels))
    assert profile.functions[0] == Function(name, name, name, 1)
    assert profile.labels[0].thread_name == name
    assert decode(encode(profile)).functions == profile.functions


BROKEN = {
    "nothing": b"",
    "one byte": b"\0",
    "a header longer than all": b"\xff\xff\xff\x7f{}",
    "a header that is no JSON": b"\x01\0\0\0{",
    "a header that is a list": b"\x02\0\0\0[]",
    "a header nested too deeply": (200_000).to_bytes(4, "little") + b"[" * 200_000,
    "no directory": b"\x02\0\0\0{}",
    "a parent that is itself": table(parents=i4(-1, 1, 1)),
    "a parent that comes later": table(parents=i4(-1, 2, 1)),
    "a parent below the root": table(parents=i4(-2, 0, 1)),
    "a node without function": table(node_locations=i4(0, 1, 3)),
    "a negative function": table(node_locations=i4(0, 1, -1)),
    "a node without label": table(node_labels=i4(0, 0, 1)),
    "a negative label": table(node_labels=i4(0, 0, -1)),
    "fewer figures than nodes": table(calls=i8(1, 2)),
    "more figures than nodes": table(self_ns=i8(1, 2, 3, 4)),
    "negative calls": table(calls=i8(0, -1, 1)),
    "negative times": table(self_ns=i8(0, -1, 1)),
    "times whose sum leaves 64 bits": table(self_ns=i8(1 << 62, 1 << 62, 1)),
    "half a function": table(functions=i4(0, 0, 3)),
    "a function with a name that is not there": table(functions=i4(5, 0, 3, 1, 1, 1, 3, 9, 2, 2, 4, 0)),
    "a function with a negative name": table(functions=i4(-1, 0, 3, 1, 1, 1, 3, 9, 2, 2, 4, 0)),
    "a function at a negative line": table(functions=i4(0, 0, 3, -1, 1, 1, 3, 9, 2, 2, 4, 0)),
    "texts longer than their bytes": table(text_lengths=i4(4, 4, 14, 6, 2)),
    "texts of negative length": table(text_lengths=i4(-4, 12, 14, 6, 1)),
    "half a character": table(text_bytes=("u1", b"\xc3" * 29)),
    "an array of the wrong type": table(calls=i4(0, 5, 10)),
    "an array of a broken size": table(calls=("i8", b"\0" * 23)),
    "an array of an unknown type": table(calls=("f8", b"\0" * 24)),
    "a missing array": table(open=None),
    "labels that are none": table(labels=[7]),
    "a label of a negative thread": table(labels=[{"thread_id": -1, "thread_name": "", "domain": 0}]),
    "a label of a thread beyond 64 bits": table(labels=[{"thread_id": 1 << 64, "thread_name": "", "domain": 0}]),
    "a label with a number for a name": table(labels=[{"thread_id": 1, "thread_name": 3, "domain": 0}]),
    "a label of a negative domain": table(labels=[{"thread_id": 1, "thread_name": "", "domain": -1}]),
    "a label without a domain": table(labels=[{"thread_id": 1, "thread_name": ""}]),
    "half a location": table(locations=i4(0, 0, 1, 0, 2)),
    "a location at a negative line": table(locations=i4(0, 0, 1, -1, 2, 0)),
    "a location of no function": table(locations=i4(0, 0, 1, 0, 3, 0)),
    "a label of a thread that is true": table(labels=[{"thread_id": True, "thread_name": "", "domain": 0}]),
    "labels that are an object": table(labels={"thread_id": 1}),
    "caveats that are a text": table(caveats="none"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_table_that_breaks_the_format_is_refused(what: str) -> None:
    with pytest.raises(ProfileCorrupt):
        read(BROKEN[what])


@pytest.mark.parametrize("length", [-1, 1 << 40, True, "8", None, [], 1.5])
def test_a_directory_that_does_not_fit_is_refused(length: object) -> None:
    text = wire.encode_json({"arrays": [["calls", "i8", length]], "labels": [], "caveats": []})
    with pytest.raises(ProfileCorrupt):
        read(len(text).to_bytes(4, "little") + text)


@pytest.mark.parametrize("lost", [7, [1], {"a": -1}, {"a": "many"}, {"a": 1 << 70}, {"a": True}, None])
def test_losses_that_are_none_are_left_out(lost: object) -> None:
    assert read(table(lost=lost)).header.lost == {"known": 1}


def test_figures_and_texts_of_a_collectors_own_are_kept_and_nothing_else() -> None:
    said = {"limit": 7, "path": ["/a", "/b"], "text": "x" * 5000, "bad": {"a": 1}, "half": [1, "a"], "float": 1.5}
    extra = read(table(extra=said)).header.extra
    assert extra == {"limit": 7, "path": ["/a", "/b"], "text": "x" * 1000}


def test_what_an_agent_says_in_words_is_cut_short() -> None:
    losses = {"y" * 5000: 1} | {f"reason {n}": n for n in range(1000)}
    profile = read(table(caveats=["x" * 5000] + [f"caveat {n}" for n in range(100)], lost=losses))
    assert len(profile.header.caveats) <= 21
    assert len(profile.header.lost) <= 101
    assert max(map(len, (*profile.header.caveats, *profile.header.lost))) <= 1000


LARGE = {
    "functions": {"functions": i4(*(0, 0, 0, 1) * 1000)},
    "locations": {"locations": i4(*[0, 1] * 2000)},
    "texts": {"text_lengths": i4(*[0] * 2000, 29)},
    "nodes": {name: i4(*[0] * 2000) for name in ("parents", "node_locations", "node_labels")},
    "labels": {"labels": [{"thread_id": 1, "thread_name": "", "domain": 0}] * 500},
}


@pytest.mark.parametrize("what", LARGE)
def test_a_table_that_would_take_more_memory_than_it_may_is_refused_before_it_does(what: str) -> None:
    data = table(**LARGE[what])
    tracemalloc.start()
    try:
        with pytest.raises(ProfileCorrupt, match="MiB of memory"):
            read_table(data, HEADER, PID, limit_bytes=len(data) * 2)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    finally:
        tracemalloc.stop()


def test_a_table_of_a_collector_that_may_take_more_may_take_more() -> None:
    assert table_limit(0) == TABLE_BYTES == 48 << 20
    assert table_limit(100 << 20) == 200 << 20


WHOLE = table()
edits = st.lists(
    st.tuples(
        st.integers(0, len(WHOLE) - 1), st.sampled_from(("set", "cut", "insert")), st.binary(min_size=1, max_size=8)
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, place: int, kind: str, piece: bytes) -> bytes:
    if kind == "set":
        return data[:place] + piece + data[place + len(piece) :]
    if kind == "cut":
        return data[:place] + data[place + len(piece) :]
    return data[:place] + piece + data[place:]


@given(edits)
@example([(len(WHOLE) - 8, "set", b"\xff" * 8)])
def test_a_mutilated_table_is_a_sound_profile_or_is_refused(changes: list[tuple[int, str, bytes]]) -> None:
    data = WHOLE
    for place, kind, piece in changes:
        data = edited(data, place, kind, piece)
    try:
        profile = read(data)
    except ProfileCorrupt:
        return
    assert check(profile) is profile
    assert all(min(column.values, default=0) >= 0 for column in profile.columns)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_sound_profile_or_are_refused(data: bytes) -> None:
    try:
        check(read(data))
    except ProfileCorrupt:
        return
