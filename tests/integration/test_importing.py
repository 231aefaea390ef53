"""Files of the standard library's tools, imported by execctl into a real daemon: reports, exports, refusals."""

from __future__ import annotations

import cProfile
import io
import json
import marshal
import os
import pickle
import pstats
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from execd_api.v1 import daemon_pb2

if TYPE_CHECKING:
    from daemons import Daemon

TIMEOUT_S = 60


def deep(n: int) -> int:
    return deep(n - 1) + len(str(n)) if n else 0


def test_a_file_of_cprofile_is_reported_and_exported_as_it_was(daemon: Daemon, tmp_path: Path) -> None:
    file, export, profile, printed = tmp_path / "own.prof", tmp_path / "export", cProfile.Profile(), io.StringIO()
    profile.runcall(deep, 30)
    profile.dump_stats(file)
    pstats.Stats(str(file), stream=printed).sort_stats("cumulative").print_stats()
    daemon.execctl("import", os.fspath(file))
    head, _, _ = daemon.execctl("report", "own.prof").partition("\n\n")
    assert f"File: {file}, imported " in " ".join(head.split())
    printed_here = daemon.execctl("report", "own.prof", "--format", "pstats-text", "--sort", "cumulative")
    assert printed_here.partition("\n\n")[2].split() == printed.getvalue().partition("\n\n")[2].split()
    daemon.execctl("export", "own.prof", "--format", "pstats", "-o", os.fspath(export))
    told = [list(pstats.Stats(str(one)).stats.items()) for one in (file, export)]  # type: ignore[attr-defined]
    assert [(key, row[:2]) for key, row in told[0]] == [(key, row[:2]) for key, row in told[1]]


def test_snapshots_that_were_imported_together_compare_and_grow(daemon: Daemon, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "two", "three")]
    for number, file in enumerate(files, 1):
        leak = [(0, 100, (("/srv/leak.py", 3),), 1)] * (64 * number)
        file.write_bytes(pickle.dumps(tracemalloc.Snapshot([*leak, (0, 5000, (("/srv/cache.py", 9),), 1)], 1)))
    ids = daemon.execctl("import", *map(os.fspath, files)).split()
    grown = daemon.execctl("growth").splitlines()
    assert f"Snapshots: {', '.join(ids)}" in grown
    rows = [line for line in grown if "/srv/" in line and not line.startswith("next:")]
    assert [line.split()[-1] for line in rows] == ["/srv/leak.py:3"]
    assert "+128" in daemon.execctl("diff", "one", "three")
    (newest, *_) = json.loads(daemon.execctl("profiles", "--json"))["profiles"]
    assert (newest["name"], newest["reason"], newest["pid"]) == ("three", "imported", 0)
    refused = daemon.run_execctl("report", "0")
    assert (refused.returncode, "nothing is stored of process 0" in refused.stderr) == (9, True)


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.made,)


def test_hostile_files_are_refused_in_a_line_and_leave_nothing(daemon: Daemon, tmp_path: Path) -> None:
    made, before = tmp_path / "made", daemon.execctl("sessions", "--all", "--json")
    good = marshal.dumps({("a", 1, "f"): (1, 1, 0.5, 0.5, {})})
    files = {
        "evil": pickle.dumps(tracemalloc.Snapshot([Evil(made)], 1)),
        "counts": pickle.dumps(({("a", 1): Evil(made)}, {}, {}), 1),
        "newer": b"\x80\x06N.",
        "cut": good[:-3],
        "code": marshal.dumps({compile("1", "f", "eval"): 1}),
        "nested": b"{(" * 50_000,
        "bomb": b"\x80\x04]" + b"]" * 100_000,
        "text": b"#!/bin/sh\n",
    }
    for name, content in files.items():
        detail = refusal(daemon, ("good", len(good), good), (name, len(content), content))
        assert (detail.kind, detail.exit_code) == ("usage", 2)
        assert detail.message.startswith(f"{name}: ")
        assert detail.remedy
    (tmp_path / "cut").write_bytes(good[:-3])
    with daemon.start_execctl("import", os.fspath(tmp_path / "cut")) as execctl:
        _, told = execctl.communicate(timeout=TIMEOUT_S)
    assert (execctl.returncode, len(told.splitlines())) == (2, 2), told
    assert told.startswith(f"execctl: {tmp_path / 'cut'}: this is no file of pstats: it is cut off")
    assert not made.exists()
    assert daemon.execctl("sessions", "--all", "--json") == before


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_comes(daemon: Daemon) -> None:
    assert "big.prof has 68157440 bytes" in refusal(daemon, ("big.prof", 65 << 20, b"{")).message


def refusal(daemon: Daemon, *pieces: tuple[str, int, bytes]) -> daemon_pb2.ErrorDetail:
    """What the daemon says of files that it does not take."""
    with pytest.raises(grpc.RpcError) as caught:
        daemon.import_pieces(*pieces)
    metadata = {entry.key: entry.value for entry in caught.value.trailing_metadata()}
    return daemon_pb2.ErrorDetail.FromString(metadata["execd-error-bin"])
