"""Uploads: files that come in pieces are whole or refused; what came is stored all or none."""

from __future__ import annotations

import functools
import marshal
import pickle
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from execd.errors import StoreFull, UsageError
from execd.imports.allowance import Allowance
from execd.imports.files import FORMATS, profiles_of, told_format
from execd.imports.pickle_reader import MAX_BYTES
from execd.model.profile import IMPORTED, Header
from execd.model.session import State
from execd.model.stored import StoredProfile
from execd.reports import ReportOptions, render
from execd.rpc.profiles import ProfilesServicer
from execd.rpc.uploads import MAX_BYTES_IN_ALL, uploads
from execd.sessions import imported
from execd.store.store import Store
from execd_api.v1.profiles_pb2 import ImportChunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from execd.model.profile import Profile
    from execd.sessions.registry import Registry


FRAMES = tuple((f"/srv/{line}.py", line) for line in range(2000))
# A traceback that blocks of many sizes share, 40 million steps in 300 KB; much of the same; many functions.
ENDLESS = {
    "tracemalloc": pickle.dumps(tracemalloc.Snapshot([(0, size, FRAMES, 2000) for size in range(20_000)], 1), 4),
    "trace-counts": b"}" + b"(K\x01K\x01u" * 300_000,
    "pstats": marshal.dumps({("f", line, "f"): (1, 1, 0.0, 0.0, {}) for line in range(60_000)}),
    "collapsed": b"a;b;c;d 1\n" * 300_000,
    "pprof": b"\x12\x00" * 1_000_000,
}
STATS = marshal.dumps({("a", 1, "f"): (1, 1, 0.5, 0.5, {})})


def never() -> None:
    """A client that is not given up."""
    raise AssertionError


def test_files_come_in_their_order() -> None:
    pieces = [
        ImportChunk(file="a", size=5, format="pstats", data=b"ab"),
        ImportChunk(data=b"cde"),
        ImportChunk(file="empty"),
        ImportChunk(file="b", size=1, format="collapsed", unit="ms", data=b"z"),
    ]
    found = [(one.file, one.format, one.unit, one.data) for one in uploads(iter(pieces), never)]
    assert found == [("a", "pstats", "", b"abcde"), ("empty", "", "", b""), ("b", "collapsed", "ms", b"z")]


def cut_off() -> Iterator[ImportChunk]:
    """What gRPC does where a client goes away."""
    yield ImportChunk(file="a", size=9, data=b"ab")
    raise grpc.RpcError


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (iter([ImportChunk(data=b"abc")]), "has no name"),
        (iter([ImportChunk(file="a" * 5000, size=1, data=b"a")]), "too long a one"),
        (iter([ImportChunk(file="a", size=MAX_BYTES + 1, data=b"a")]), r"64 MiB"),
        (iter([ImportChunk(file="a", size=1, data=b"ab")]), "longer than the 1 bytes"),
        (iter([ImportChunk(file="a", size=3, data=b"a"), ImportChunk(data=b"bcd")]), "longer than the 3 bytes"),
        (iter([ImportChunk(file="a", size=3, data=b"a")]), "1 of its 3 bytes came"),
        (iter([ImportChunk(file="a", size=3, data=b"a"), ImportChunk(file="b")]), "1 of its 3 bytes came"),
        (cut_off(), "went away"),
    ],
)
def test_what_is_not_whole_or_too_large_is_refused(pieces: Iterator[ImportChunk], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(uploads(pieces, never))


def test_many_files_are_refused_before_the_last_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execd.rpc.uploads.MAX_BYTES_IN_ALL", 10)
    taken: list[str] = []

    def pieces() -> Iterator[ImportChunk]:
        for name in "abcd":
            taken.append(name)
            yield ImportChunk(file=name, size=4, data=b"1234")

    with pytest.raises(UsageError, match="with c the files have over 10 bytes"):
        list(uploads(pieces(), never))
    assert taken == ["a", "b", "c"]
    assert MAX_BYTES_IN_ALL > MAX_BYTES


@pytest.mark.parametrize("data", [b"", b'{\n  "schema": 1}', b"execdprf", b"\x7fELF", b"SQLite format 3", b"TN:\nSF:a"])
def test_other_files_are_of_no_known_format(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        told_format(data)
    assert all(name in caught.value.remedy for name in FORMATS)


@pytest.mark.parametrize("data", [b"\x80\x06\x95.", b"\x80\xff" + b"tracemalloc"])
def test_a_file_of_a_newer_version_is_told(data: bytes) -> None:
    with pytest.raises(UsageError, match=f"protocol {data[1]}, and 5 is the newest"):
        profiles_of(data, "", a_header())


def test_a_file_without_anything_and_a_format_that_is_none_are_refused() -> None:
    with pytest.raises(UsageError, match="holds no counts"):
        profiles_of(b"(}}}t.", "", a_header())
    with pytest.raises(UsageError, match="no format 'json'"):
        profiles_of(STATS, "json", a_header())


def a_header(file: str = "a/out.prof") -> Header:
    return Header("", IMPORTED, "", 0, (file,), "", 100.0, 100.0)


def profiles(*files: str) -> list[Profile]:
    return [profile for file in files for profile in profiles_of(STATS, "", a_header(file))]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(tmp_path / "data", clock=lambda: 100.0)
    yield made
    made.close()


def test_what_is_kept_is_listed_with_its_origin_and_ended(store: Store) -> None:
    counts = profiles_of(b"(}(X\x01\x00\x00\x00aK\x01\x86K\x05u}}t.", "", a_header("counts"))
    kept = imported.keep(store, [*profiles("a/x.prof", "b/x.prof", "b/4711"), *counts])
    assert [(one.name, one.collector, one.session) for one in kept] == [
        ("x.prof", "calls", "s1"),
        ("", "calls", "s1"),
        ("", "calls", "s1"),
        ("counts", "lines", "s2"),
    ]
    assert {(one.reason, one.pid) for one in store.stored_profiles()} == {("imported", 0)}
    sessions = store.sessions()
    assert {(one.state, one.form, one.ended_at, one.group) for one in sessions} == {
        (State.STOPPED, IMPORTED, 100.0, "g1")
    }
    assert sessions[0].target.command_line == ("a/x.prof", "b/x.prof", "b/4711", "counts")


class Gone:
    """The context of a call whose client does not wait any more."""

    def is_active(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True


def test_a_client_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for their turn; one that was suspended in the midst would keep them waiting."""
    monkeypatch.setattr("execd.rpc.uploads.MAX_SILENCE_S", 0.01)
    given_up = threading.Event()

    def pieces() -> Iterator[ImportChunk]:
        yield ImportChunk(file="a", size=9, data=b"ab")
        assert given_up.wait(30)
        raise grpc.RpcError

    with pytest.raises(UsageError, match="went away"):
        list(uploads(pieces(), given_up.set))


def test_a_client_that_went_away_does_not_wait_for_its_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execd.rpc.profiles._LOOK_S", 0.01)
    servicer, pieces = (
        ProfilesServicer(cast("Registry", None), store),
        iter([ImportChunk(file="x.prof", size=len(STATS), data=STATS)]),
    )
    with servicer._importing, pytest.raises(UsageError, match="went away"):  # noqa: SLF001 - somebody's turn
        servicer.Import(pieces, Gone())  # type: ignore[arg-type]
    assert next(pieces).file == "x.prof"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_takes_long_ends_with_its_time_and_with_its_client(form: str) -> None:
    data = ENDLESS[form]
    for abandoned, message in ((False, "more than the 0 s"), (True, "went away")):
        allowance = Allowance(0.1, functools.partial(bool, abandoned))
        began = time.thread_time()
        with pytest.raises(UsageError, match=message):
            profiles_of(data, form, a_header(), allowance.spend)
        assert time.thread_time() - began < 3


def test_nothing_is_kept_for_a_client_that_went_away(store: Store) -> None:
    pieces = iter([ImportChunk(file="x.prof", size=len(STATS), data=STATS)])
    with pytest.raises(UsageError, match="went away"):
        ProfilesServicer(cast("Registry", None), store).Import(pieces, Gone())  # type: ignore[arg-type]
    assert (store.stored_profiles(), store.sessions()) == ([], [])
    with pytest.raises(UsageError, match="no file"):
        ProfilesServicer(cast("Registry", None), store).Import(iter([]), Gone())  # type: ignore[arg-type]


def test_texts_of_imported_lines_are_those_that_lie_there_now(store: Store, tmp_path: Path) -> None:
    here, other = tmp_path / "here.py", tmp_path / "other.py"
    here.write_text("a = 1\nb = 2\n")
    other.write_text("a = 1\n")
    counts = {(str(here), 2): 3, (str(other), 70): 1, (str(tmp_path / "gone.py"), 1): 1, ("folder/a.py", 1): 1}
    made = profiles_of(pickle.dumps((counts, {}, {}), 1), "", a_header())
    (stored,) = imported.keep(store, made)
    profile = store.load(stored.id)
    shown = render(profile, "source", ReportOptions(settings={"file": str(here)}, source=store.source)).decode()
    assert "Lines: 1 ran; how many can run is not known\nProblem: was read now" in shown
    assert shown.splitlines()[-1].split() == ["3", "2", "b", "=", "2"]
    problems = {file.path: file.problem for file in profile.files}
    assert problems[str(other)] == "is another text now: it has 1 lines, and line 70 ran"
    assert problems[str(tmp_path / "gone.py")] == "could not be read: No such file or directory"
    assert "in which folder" in problems["folder/a.py"]
    assert [file.path for file in profile.files if file.digest] == [str(here)]


def test_one_thread_of_a_file_is_not_called_by_numbers_that_it_has_not() -> None:
    text = render(profiles("x.prof")[0], "text", ReportOptions(per_thread=True)).decode()
    assert "All threads: what was imported, or added up, does not tell them apart" in text
    assert "(0)" not in text


def test_imports_of_files_of_one_name_are_different_things(store: Store) -> None:
    imported.keep(store, profiles("x.prof"))
    imported.keep(store, profiles("x.prof"))
    first, second = store.sessions()
    assert first.target.key != second.target.key
    assert store.stored("x.prof").id == "p2"


def test_retention_applies_to_what_was_imported(store: Store) -> None:
    imported.keep(store, profiles("x.prof"))
    assert store.expire(max_age_s=1e9, max_bytes=0) == ["p1"]


def test_on_a_full_disk_nothing_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add, added = store.add_profile, list[StoredProfile]()

    def add_two(*args: object, **named: object) -> StoredProfile:
        if len(added) == 2:
            raise StoreFull("the disk is full")
        added.append(add(*args, **named))  # type: ignore[arg-type]
        return added[-1]

    monkeypatch.setattr(store, "add_profile", add_two)
    with pytest.raises(StoreFull):
        imported.keep(store, profiles("a", "b", "c"))
    assert store.stored_profiles() == []
    assert [(one.state, one.reason) for one in store.sessions()] == [(State.FAILED, "the disk is full")]
