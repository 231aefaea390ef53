"""Exports for pprof, read back: by protobuf, and by Go's own tool where it is installed."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

from execd_api.pprof import profile_pb2

GO = shutil.which("go", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


def parsed(data: bytes) -> profile_pb2.Profile:
    """Return an export, parsed."""
    return profile_pb2.Profile.FromString(gzip.decompress(data))


def samples(profile: profile_pb2.Profile) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Return the values of each stack, by the names of its functions, leaf first."""
    names = {one.id: profile.string_table[one.name] for one in profile.function}
    functions = {one.id: names[one.line[0].function_id] for one in profile.location}
    return {tuple(functions[one] for one in sample.location_id): tuple(sample.value) for sample in profile.sample}


def top(data: bytes, folder: Path) -> dict[str, list[str]]:
    """Return what `go tool pprof -top` shows of an export: own and cumulative value, by function."""
    assert GO is not None
    (folder / "export").write_bytes(data)
    environment = os.environ | {"PPROF_TMPDIR": str(folder), "GOTOOLCHAIN": "local"}
    command = [GO, "tool", "pprof", "-top", str(folder / "export")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return {line.split()[-1]: line.split()[:4:3] for line in done.stdout.splitlines() if "%" in line}
