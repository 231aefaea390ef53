"""Sources of a target: read as it sees them when they are first seen to run, with the lines that can run, in time."""

from __future__ import annotations

import os
import threading
import zipfile
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from compiling_agents import CompilingAgent
from execd.errors import AgentFailed, AgentSilent, StoreFull, TargetGone
from execd.model.profile import ROOT, Function
from execd.reports import ReportOptions, render
from execd.sessions import compiling, sourcefiles
from execd.sessions.compiling import Compiler, KnownLines
from execd.sessions.sources import TargetSources
from execd.store.store import Store
from fake_agents import FakeChannel
from line_profiles import call_profile, line_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from execd.model.profile import Profile
    from execd.model.source import SourceFile

VERSION = (3, 11)
PATIENCE_S = 30.0
TEXT = '"""Doc."""\n\n\ndef f(x):\n    return x\n\n\nif f(1):\n    y = 2\n'
RUNNABLE = (4, 5, 8, 9)
MANY = 100_000


class Reader:
    """The sources of this process, as if it were a target."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.agent = CompilingAgent()
        self.channel = FakeChannel(self.agent, os.getpid())
        self.compiler = Compiler(self.channel, VERSION)
        self.sources = TargetSources(os.getpid(), store, self.compiler)

    def file(self, path: Path | str, line: int = 4, patience_s: float = PATIENCE_S, **fields: Any) -> SourceFile:
        """Return what a profile of a line has of its file."""
        (found,) = self.sources.add_to(line_profile({(str(path), line): 1}, **fields), patience_s).files
        return found

    def close(self) -> None:
        """End."""
        self.sources.close()
        self.channel.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    store = Store.open(tmp_path / "data")
    found = Reader(store)
    yield found
    found.close()
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "program.py"
    found.write_text(TEXT)
    return found


@pytest.mark.parametrize("collector", ["lines", "cover"])
def test_a_file_that_ran_is_kept_with_the_lines_that_can_run(reader: Reader, path: Path, collector: str) -> None:
    file = reader.file(path, collector=collector)
    assert (file.path, file.lines, file.problem) == (str(path), RUNNABLE, "")
    assert reader.store.source(file.digest) == TEXT.encode()
    assert reader.file(path, collector=collector) == file
    assert len(reader.agent.asked) == 1


def test_a_listing_stays_right_after_a_deploy(reader: Reader, path: Path) -> None:
    before = reader.file(path)
    path.write_text("completely = 'other'\n")
    assert reader.file(path) == before


def test_a_target_that_lies_falsifies_nobody_else_s_coverage(reader: Reader, path: Path) -> None:
    liar = Reader(reader.store)
    liar.agent.replies = [{"lines": [4], "functions": [["f", 4]]}]
    assert liar.file(path).lines == (4,)
    assert reader.file(path).lines == RUNNABLE
    assert liar.file(path).lines == (4,)
    liar.close()


def test_a_relative_name_is_meant_from_where_the_target_is(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert reader.file("program.py").lines == RUNNABLE
    assert reader.file("../" + path.parent.name + "/program.py").lines == RUNNABLE


def test_what_cannot_be_read_is_said(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("mod.py", TEXT)
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "large.py").write_text("#" * 200)
    monkeypatch.setattr(sourcefiles, "MAX_BYTES", 100)
    problems = {
        tmp_path / "app.zip/mod.py": "archive",
        tmp_path / "gone.py": "No such file",
        tmp_path / "fifo.py": "not a regular file",
        tmp_path: "not a regular file",
        tmp_path / "large.py": "at most",
        f"{tmp_path}/\0.py": "no file has",
        "/tmp/\ud800.py": "no file has",  # noqa: S108 - it is not there
    }
    for name, problem in problems.items():
        file = reader.file(name)
        assert (file.digest, file.lines) == ("", ())
        assert problem in file.problem


def test_a_text_that_is_not_python_s_is_kept_with_the_reason(reader: Reader, tmp_path: Path) -> None:
    texts = {
        b"x = \xff\n": "encoding",
        b"# coding: nonesuch\n": "encoding",
        b"def f(:\n": "does not compile: SyntaxError",
        b"x = '" + b"a" * 300_000 + b"'\n": "one statement",
        b"x = '\0'\n": "does not compile",
    }
    for number, (data, problem) in enumerate(texts.items()):
        path = tmp_path / f"{number}.py"
        path.write_bytes(data)
        file = reader.file(path)
        assert problem in file.problem
        assert reader.store.source(file.digest) == data


def test_a_file_that_does_not_match_its_code_is_flagged(reader: Reader, path: Path) -> None:
    assert "line 7" in reader.file(path, line=7).problem
    profile = line_profile({(str(path), 4): 1})
    moved = Function("f", "f", str(path), 40)
    object.__setattr__(profile, "functions", (moved,))
    (file,) = reader.sources.add_to(profile, PATIENCE_S).files
    assert "no f in line 40" in file.problem
    assert (
        "no f in line 40"
        in render(
            reader.sources.add_to(profile, PATIENCE_S), "text", ReportOptions(source=reader.store.source)
        ).decode()
    )


def test_a_hundred_thousand_lines_are_compiled_in_pieces(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "SHARE", 1.0)
    path = tmp_path / "long.py"
    path.write_text("x\n" * MANY)
    file = reader.file(path)
    assert file.lines == tuple(range(1, MANY + 1))
    sizes = [len(arguments["source"]) for _, arguments in reader.agent.asked]
    assert len(sizes) > 10
    assert max(sizes) <= 16 << 10


def test_a_target_compiles_for_a_fifth_of_its_time(reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(reader.compiler._closed, "wait", pauses.append)  # noqa: SLF001 - nothing else tells
    reader.agent.cpu_ns = 1000
    reader.file(path)
    assert pauses == [pytest.approx(4000 / 1e9)]


def test_a_checkpoint_waits_for_nothing_and_what_is_missing_is_said(reader: Reader, path: Path) -> None:
    go_on = threading.Event()
    reader.agent.before = lambda _operation: go_on.wait(PATIENCE_S)
    file = reader.file(path, patience_s=0.0)
    assert file.problem
    assert file.lines == ()
    go_on.set()
    assert reader.file(path).lines == RUNNABLE


def test_memory_has_the_text_alone_and_calls_where_it_is_asked_for(reader: Reader, path: Path) -> None:
    def made(collector: str, **fields: Any) -> Profile:
        profile = call_profile([Function("f", "f", str(path), 4)], (), collector="functions", **fields)
        object.__setattr__(profile.header, "collector", collector)
        return reader.sources.add_to(profile, PATIENCE_S)

    for profile in (made("memory"), made("trace"), made("calls", options={"sources": True})):
        (file,) = profile.files
        assert (bool(file.digest), file.lines, file.problem) == (True, (), "")
    assert made("calls").files == made("census").files == ()
    assert reader.agent.asked == []
    # Now somebody asks for its lines.
    assert reader.file(path).lines == RUNNABLE


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"lines": [3, 2], "functions": []},
        {"lines": [-1], "functions": []},
        {"lines": [True], "functions": []},
        {"lines": "abc", "functions": []},
        {"lines": [1], "functions": [["f"]]},
        {"lines": [1], "functions": [[1, "f"]]},
        {"lines": [1], "functions": 3},
        AgentFailed("boom"),
    ],
)
def test_an_agent_that_answers_with_garbage_is_not_believed(
    reader: Reader, path: Path, reply: dict[str, Any] | Exception
) -> None:
    reader.agent.replies = [reply]
    file = reader.file(path)
    assert file.lines == ()
    assert "was not compiled" in file.problem


def test_lines_beyond_the_text_are_left_out(reader: Reader, path: Path) -> None:
    reader.agent.replies = [{"lines": [4, 5000], "functions": []}]
    assert reader.file(path).lines == (4,)


def test_a_target_that_does_not_answer_is_asked_again(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_SILENCE_S", 0.0)
    reader.agent.replies = [AgentSilent("busy")]
    assert reader.file(path).lines == RUNNABLE
    other = path.with_name("other.py")
    other.write_text(TEXT + "\n")
    reader.agent.replies = [AgentSilent("busy")] * 10
    assert "in time" in reader.file(other).problem


@pytest.mark.parametrize("passing", ["MemoryError: ", "RecursionError: maximum recursion depth exceeded"])
def test_what_a_target_could_not_do_once_is_asked_for_again_by_who_waits(
    reader: Reader, path: Path, passing: str
) -> None:
    reader.agent.replies = [AgentFailed(f"the agent in process 1 failed: {passing}")]
    assert passing in reader.file(path).problem
    assert passing in reader.file(path, patience_s=0.0).problem
    assert len(reader.agent.asked) == 1
    found = reader.file(path)
    assert (found.lines, found.problem) == (RUNNABLE, "")
    assert reader.file(path) == found
    assert len(reader.agent.asked) == 2


def test_a_text_that_took_too_long_goes_on_where_it_ended(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many functions in a target that answers for a while, and then does not."""
    monkeypatch.setattr(compiling, "_SILENCE_S", 0.0)
    monkeypatch.setattr(compiling, "_TRIES", 1)
    monkeypatch.setattr(compiling, "SHARE", 1.0)
    path.write_text("".join(f"def f{number}():\n    return {number}\n" for number in range(3000)))
    asked: list[str] = []

    def before(operation: str) -> None:
        asked.append(operation)
        if len(asked) == 3:
            raise AgentSilent("busy")

    reader.agent.before = before
    assert "did not let its compiler run" in reader.file(path).problem
    found = reader.file(path)
    assert (found.problem, len(found.lines)) == ("", 6000)
    pieces = [arguments["first_line"] for operation, arguments in reader.agent.asked if operation == "executable_lines"]
    assert len(pieces) == len(set(pieces)) + 1 > 4


def test_a_target_that_ended_is_asked_no_more(reader: Reader, path: Path) -> None:
    reader.agent.replies = [TargetGone("gone")]
    assert "was not compiled" in reader.file(path).problem
    path.with_name("late.py").write_text(TEXT)
    assert "was not read" in reader.file(path.with_name("late.py")).problem


def test_a_full_disk_is_said(reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_text: bytes) -> str:
        raise StoreFull("no space")

    monkeypatch.setattr(reader.store, "add_source", full)
    assert "no space" in reader.file(path).problem


def test_an_unforeseen_error_is_not_the_end_of_the_others(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_text: bytes) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(reader.store, "add_source", broken)
        assert reader.file(path).digest == ""
    other = path.with_name("other.py")
    other.write_text(TEXT)
    assert reader.file(other).lines == RUNNABLE


def test_a_text_that_is_still_used_is_kept_on(
    reader: Reader, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = reader.file(path)
    (kept,) = (tmp_path / "data").rglob(file.digest)
    os.utime(kept, (1, 1))
    reader.file(path)
    assert kept.stat().st_mtime == 1
    monkeypatch.setattr(reader.sources, "_keep_again_at", 0.0)
    reader.file(path)
    assert kept.stat().st_mtime > 1


def test_a_text_that_the_store_has_lost_is_compiled_for_nobody(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.store, "source", lambda _digest: None)
    assert "was not compiled" in reader.file(path).problem
    assert reader.agent.asked == []


def test_what_is_known_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_MAX_WEIGHT", 25)
    known = KnownLines()
    made = compiling.ExecutableLines(array("i", range(10)), array("i"), frozenset())
    for digest in "abc":
        known.put(digest, made)
        assert known.get("a") is made
    assert known.get("b") is None
    assert known.get("c") is made


def test_a_profile_of_nothing_has_no_files(reader: Reader) -> None:
    profile = call_profile([], (), collector="functions")
    object.__setattr__(profile.header, "collector", "lines")
    assert reader.sources.add_to(profile, PATIENCE_S).files == ()
    assert ROOT not in profile.parents
