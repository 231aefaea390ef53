"""execd.logs: lines that nobody can forge, in a file of bounded size."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest
from execd import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = 'a\nb"\x1b[2J\u202e\udc80\x00'


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "execd.log"
    logs.close_log()
    logging.getLogger().setLevel(logging.WARNING)


def test_a_record_is_one_json_object_on_one_line(path: Path) -> None:
    logs.open_log(path).info("attached to %d", 7, extra={"facts": {"pid": 7}})
    line = json.loads(path.read_text())
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "execd", "message": "attached to 7", "facts": {"pid": 7}}


def test_hostile_text_stays_on_its_line_and_reads_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, root = logs.open_log(path), logging.getLogger()
    with monkeypatch.context() as without_pytests:
        # What those keep for the report is sent to another process as UTF-8, which this text is not.
        without_pytests.setattr(root, "handlers", [one for one in root.handlers if isinstance(one, logs.LogFile)])
        log.info("%s", HOSTILE, extra={"facts": {HOSTILE: HOSTILE}})
    (raw,) = path.read_bytes().splitlines()
    assert all(0x20 <= byte < 0x7F for byte in raw)
    line = json.loads(raw)
    assert (line["message"], line["facts"]) == (HOSTILE, {HOSTILE: HOSTILE})


def test_an_exception_is_logged_with_its_traceback(path: Path) -> None:
    try:
        {"": 0}[HOSTILE]
    except KeyError:
        logs.open_log(path).exception("broken")
    assert "KeyError" in json.loads(path.read_text())["traceback"]


def test_the_loggers_of_all_modules_write_to_it(path: Path) -> None:
    logs.open_log(path)
    logging.getLogger("execd.sessions.registry").warning("lost")
    assert json.loads(path.read_text())["logger"] == "execd.sessions.registry"


def test_what_ends_a_thread_is_logged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", logs.thread_crash_logger(logs.open_log(path)))
    thread = threading.Thread(target=[].pop, name="checkpoints")
    thread.start()
    thread.join()
    line = json.loads(path.read_text())
    assert line["facts"] == {"thread": "checkpoints"}
    assert "pop from empty list" in line["traceback"]


def test_old_files_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 500)
    log = logs.open_log(path)
    for number in range(100):
        log.info("line %d", number)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "execd.log",
        "execd.log.1",
        "execd.log.2",
        "execd.log.3",
    ]
    assert all(file.stat().st_size <= 500 for file in path.parent.iterdir())


def test_stdio_that_goes_to_the_log_follows_a_rotation(path: Path) -> None:
    stderr = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        handler = logs.LogFile(path, maxBytes=1, backupCount=1)
        handler.doRollover()
        os.write(2, b"from C code")
        handler.close()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    assert path.read_bytes() == b"from C code"


def test_stdio_that_goes_elsewhere_is_left_by_a_rotation(path: Path) -> None:
    before = os.fstat(2)
    handler = logs.LogFile(path, maxBytes=1, backupCount=1)
    handler.doRollover()
    handler.close()
    assert os.path.samestat(os.fstat(2), before)


def test_the_tail_is_the_last_lines_after_the_offset(path: Path) -> None:
    path.write_text("old\n1\n2\n3\n")
    assert logs.tail(path, offset=4, max_lines=2) == ["2", "3"]
    assert logs.tail(path, offset=4, max_lines=9) == ["1", "2", "3"]


def test_the_tail_of_a_rotated_log_starts_at_its_beginning(path: Path) -> None:
    path.write_text("new\n")
    assert logs.tail(path, offset=400, max_lines=9) == ["new"]


def test_the_tail_cannot_disturb_a_terminal(path: Path) -> None:
    path.write_bytes(b"\x1b[2J\xff\n")
    assert logs.tail(path, offset=0, max_lines=9) == [r"\x1b[2J\xff"]


def test_a_missing_log_is_empty(path: Path) -> None:
    assert logs.size(path) == 0
    assert logs.tail(path, offset=0, max_lines=9) == []
