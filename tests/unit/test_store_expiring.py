"""Source files that expire while others write them, or remove them too."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from execd.store import sources

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DAY_S = 86400.0


def test_what_another_thread_finishes_or_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sources.keep(tmp_path, b"unused")
    os.utime(tmp_path / digest, (1.0, 1.0))
    paths = [tmp_path / "renamed.tmp", tmp_path / "removed", tmp_path / digest]
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda _folder: iter(paths))
    sources.expire(tmp_path, time.time() - DAY_S)
    assert sources.read(tmp_path, digest) is None


def test_what_is_being_written_stays_and_what_a_crash_left_goes(tmp_path: Path) -> None:
    young, old = tmp_path / "young.tmp", tmp_path / "old.tmp"
    for path, age_s in ((young, 60.0), (old, 7200.0)):
        path.write_bytes(b"")
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    sources.expire(tmp_path, time.time() - 1)
    assert list(tmp_path.iterdir()) == [young]
