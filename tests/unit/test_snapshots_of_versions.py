"""Snapshot files that tracemalloc of each version has written: their statistics are those of that version."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from call_trees import header
from execd.imports.tracemalloc_file import profile_of, read
from execd.model.memory.blocks import blocks_of
from execd.model.memory.statistics import By, statistics

if TYPE_CHECKING:
    from interpreters import Interpreter

FRAMES = 5
TIMEOUT_S = 60
# Prints the file, and by each grouping the place, size and count of every statistic, in order.
DUMP = """
import json, sys, tempfile, tracemalloc
tracemalloc.start(int(sys.argv[1]))
import decimal, email.message
kept = [[bytes(number) for number in range(100)] for _ in range(30)]
snapshot = tracemalloc.take_snapshot()
with tempfile.NamedTemporaryFile() as file:
    snapshot.dump(file.name)
    content = file.read().hex()
told = {
    by: [[[[f.filename, f.lineno] for f in one.traceback], one.size, one.count] for one in snapshot.statistics(by)]
    for by in ("filename", "lineno", "traceback")
}
print(json.dumps([content, told]))
"""


@pytest.mark.soak
def test_a_snapshot_of_each_version_has_the_statistics_of_its_own(interpreter: Interpreter) -> None:
    command = [*interpreter.argv, "-I", "-B", "-c", DUMP, str(FRAMES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    content, told = json.loads(done.stdout)
    snapshot = read(bytes.fromhex(content))
    assert snapshot.traceback_limit == FRAMES
    blocks = blocks_of(profile_of(snapshot, header()))
    for by in By:
        found = [[[list(frame) for frame in one.place], one.size, one.count] for one in statistics(blocks, by)]
        assert len(found) > 10
        assert found == told[by.value]
