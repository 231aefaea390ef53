"""`execctl report` and `execctl export`, and the files that they write."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli.fake_daemon import HOSTILE, REPORT
from execctl.errors import ClientError
from execctl.files import save
from execd_api.v1 import reports_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run, Start
    from cli.fake_daemon import FakeDaemon

BINARY = bytes(range(256))


def test_report_prints_the_pieces_as_one_and_notes_on_stderr(run: Run) -> None:
    result = run("report")
    assert result.stdout == REPORT.decode()
    assert result.stderr == "since attach\n"


def test_report_passes_every_option_on(run: Run, daemon: FakeDaemon) -> None:
    options = ["--sort", "tottime,name", "--reverse", "--limit", "20", "--limit", "0.5", "--limit", "server"]
    options += ["--callers", "--strip-dirs", "--thread", "MainThread", "--per-thread", "--compare", "p3"]
    run("report", "s1", *options)
    assert daemon.script.request("Reports.Render") == reports_pb2.RenderRequest(
        subject="s1",
        format="text",
        sort=["tottime", "name"],
        reverse=True,
        limit=["20", "0.5", "server"],
        view=reports_pb2.VIEW_CALLERS,
        strip_dirs=True,
        thread="MainThread",
        per_thread=True,
        compare="p3",
    )


def test_report_takes_a_sort_key_that_is_a_negative_number(run: Run, daemon: FakeDaemon) -> None:
    run("report", "--sort", "-1")
    assert daemon.script.request("Reports.Render").sort == ["-1"]


def test_report_json_asks_for_json(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = b'{"a": 1}\n'
    assert run("report", "--json").stdout == '{"a": 1}\n'
    assert daemon.script.request("Reports.Render").format == "json"


@pytest.mark.parametrize(
    "words",
    [
        ("report", ""),
        ("report", "p7", ""),
        ("export", "", "--format", "pstats"),
        ("diff", "", "p7"),
        ("merge", "p7", ""),
        ("growth", ""),
        ("snapshot", ""),
        ("stop", ""),
        ("detach", ""),
        ("profiles", ""),
    ],
)
def test_an_empty_word_does_not_stand_for_the_newest(run: Run, daemon: FakeDaemon, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "it is empty, and names nothing" in result.stderr
    assert not daemon.script.asked


def test_callers_and_callees_are_not_one_report(run: Run) -> None:
    assert run("report", "--callers", "--callees").exit_code == 2


def test_a_character_on_two_pieces_stays_whole(run: Run, daemon: FakeDaemon) -> None:
    daemon.script.answers["Reports.Render"] = "aäb".encode()
    assert run("report").stdout == "aäb"


@pytest.mark.parametrize("form", ["pstats", "pprof"])
def test_export_writes_bytes_as_they_are(run: Run, daemon: FakeDaemon, form: str) -> None:
    daemon.script.answers["Reports.Render"] = BINARY
    assert run("export", "p7", "--format", form).stdout_bytes == BINARY
    assert daemon.script.request("Reports.Render").format == form


def test_export_of_bytes_to_a_terminal_is_refused(start: Start, daemon: FakeDaemon) -> None:
    controller, terminal = pty.openpty()
    process = start("--socket", str(daemon.socket), "export", "--format", "pstats", stdout=terminal)
    _, stderr = process.communicate(timeout=20)
    os.close(terminal)
    os.close(controller)
    assert process.returncode == 2
    assert "-o FILE" in stderr
    assert daemon.script.calls() == []


def test_export_to_a_file_says_what_it_wrote(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = BINARY
    file = tmp_path / "out.pstats"
    result = run("export", "--format", "pstats", "-o", str(file))
    assert (file.read_bytes(), result.stdout) == (BINARY, "")
    assert f"wrote p7 to {file}: 256 bytes" in result.stderr


def test_a_report_in_a_file_is_as_harmless_as_on_a_terminal(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.script.answers["Reports.Render"] = HOSTILE.encode()
    run("report", "-o", str(tmp_path / "r.txt"))
    assert (tmp_path / "r.txt").read_text() == "evil\\x1b[2J\\r\nname\\u202e\\x7f\\x9b"


def test_a_file_is_replaced_with_its_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"old")
    file.chmod(0o640)
    save(str(file), b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(str(tmp_path / "out"), b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_the_file_behind_a_symlink_is_written(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    save(str(link), b"new")
    assert link.is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_something_that_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        save(str(fifo), b"new")
        assert reader.communicate(timeout=20)[0] == b"new"
    assert fifo.is_fifo()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"cannot write .*nowhere/out: No such file") as caught:
        save(str(tmp_path / "nowhere" / "out"), b"")
    assert caught.value.exit_code == 2
