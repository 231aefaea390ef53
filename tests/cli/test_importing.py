"""The command import: what it sends, what it shows, and what it says of files that it cannot send."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from cli.fake_daemon import error_detail, make_profile
from execctl import importable
from execd_api.v1 import profiles_pb2

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from cli.conftest import Run
    from cli.fake_daemon import FakeDaemon

# More than a message takes.
LARGE = bytes(range(256)) * 20_000


def test_files_go_to_the_daemon_whole_and_in_their_order(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    contents = {tmp_path / "a.prof": LARGE, tmp_path / "empty": b"", tmp_path / "b.prof": b"abc"}
    for path, content in contents.items():
        path.write_bytes(content)
    result = run("import", *map(str, contents))
    assert result.stdout.splitlines() == ["p1", "p2", "p3"]
    sent = [request for call, request in daemon.script.asked if call == "Profiles.Import"]
    assert [(one.file, one.size, one.data) for one in sent] == [  # type: ignore[attr-defined]
        (str(path), len(content), content) for path, content in contents.items()
    ]
    assert {one.format for one in sent} == {""}  # type: ignore[attr-defined]
    assert "next: execctl report p3" in result.stderr


def test_the_format_can_be_said(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    run("import", "--format", "trace-counts", str(tmp_path / "f"))
    assert daemon.script.request("Profiles.Import").format == "trace-counts"
    assert run("import", "--format", "json", str(tmp_path / "f")).exit_code == 2


def test_json_has_the_records_of_profiles(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (record,) = json.loads(run("import", "--json", str(tmp_path / "f")).stdout)["profiles"]
    assert (record["id"], record["pid"]) == ("p1", 0)


def test_what_cannot_be_read_is_said_and_nothing_is_sent(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        result = run("import", str(tmp_path / "f"), str(path))
        assert result.exit_code == 2
        assert f"cannot read {path}: {why}" in result.stderr
        assert "Traceback" not in result.stderr
    assert "Profiles.Import" not in daemon.script.calls()


def test_a_file_that_is_too_large_is_not_sent(
    run: Run, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importable, "MOST_BYTES", 10)
    (tmp_path / "f").write_bytes(b"x" * 11)
    result = run("import", str(tmp_path / "f"))
    assert result.exit_code == 2
    assert "over 10 bytes" in result.stderr
    assert daemon.script.calls() == []


def test_names_that_are_no_text_are_told_and_shown_escaped(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b")
    with open(path, "wb") as stream:  # noqa: PTH123 - bytes that are no text
        stream.write(b"x")
    result = run("import", path)
    assert result.exit_code == 0
    assert daemon.script.request("Profiles.Import").file.endswith("/\\xff\x1b")
    assert "\x1b" not in result.stderr


def test_a_refusal_is_shown_with_its_remedy(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(LARGE)
    daemon.script.answers["Profiles.Import"] = error_detail("usage", 2)
    result = run("import", str(tmp_path / "f"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "this is usage\ndo something about usage" in result.stderr


def test_profiles_shows_that_one_was_imported(run: Run, daemon: FakeDaemon) -> None:
    profile = make_profile(name="out.prof", reason="imported", pid=0)
    daemon.script.answers["Profiles.List"] = profiles_pb2.ListProfilesResponse(profiles=[profile])
    assert run("profiles").stdout.splitlines()[1].split()[:6] == ["p7", "out.prof", "s1", "-", "calls", "imported"]
