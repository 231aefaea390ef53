"""What other tools read of our exports for pstats; they come with the extra `conformance`."""

from __future__ import annotations

import pstats
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from call_trees import Node, random_tree, tree
from execd.model.fold import by_function
from execd.model.profile import ROOT, Function
from execd.reports import ReportOptions, render

if TYPE_CHECKING:
    from pathlib import Path

    from execd.model.profile import Profile

TIMEOUT_S = 60
HOSTILE = Function("h\x1b[2J\udcff", "h", '/srv/"<h>\n.py', 2)
PROFILES = {
    "random": random_tree(5),
    "hostile": tree(
        [Node(ROOT, "<module>", 0, 10**9, open=1), Node(0, HOSTILE, 2, 2 * 10**9), Node(1, "<built-in f>")]
    ),
    # Nothing but what ran already: pstats prints no figure a call.
    "open": tree([Node(ROOT, "main", 0, 10**9, open=1), Node(0, "wait", 0, 10**9, open=1)]),
}


def needs(module: str) -> pytest.MarkDecorator:
    """Skips a test where its reader is not there."""
    missing = find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"the extra `conformance` ({module}) is not installed")


def export(profile: Profile, folder: Path) -> Path:
    """A file for pstats."""
    file = folder / "export.prof"
    file.write_bytes(render(profile, "pstats", ReportOptions()))
    return file


@needs("snakeviz")
@pytest.mark.parametrize("name", PROFILES)
def test_snakeviz_shows_every_function_and_who_called_it(name: str, tmp_path: Path) -> None:
    snakeviz = import_module("snakeviz.stats")
    stats = pstats.Stats(str(export(PROFILES[name], tmp_path)))
    rows = by_function(PROFILES[name])
    assert len(snakeviz.table_rows(stats)) == len(rows)
    callers = {place: node["callers"].keys() for place, node in snakeviz.json_stats(stats).items()}
    assert len(callers) == len(rows)
    assert sum(map(len, callers.values())) == sum(len(row.callers) for row in rows.values())


@needs("gprof2dot")
@pytest.mark.parametrize("name", PROFILES)
def test_gprof2dot_draws_the_functions_that_took_time(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gprof2dot", "-f", "pstats", "-n", "0", "-e", "0"]
    command.append(str(export(PROFILES[name], tmp_path)))
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    nodes = sum(line.lstrip()[:1].isdigit() and "->" not in line for line in done.stdout.splitlines())
    assert 0 < nodes <= len(by_function(PROFILES[name]))
