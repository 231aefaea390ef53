"""The committed code of the protocol is what the .proto files generate: nobody needs protoc to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROTO = Path(__file__).parent.parent / "proto"
# As `make proto` runs it.
SERVICES = ("--python_out=.", "--grpc_python_out=.", "--mypy_out=.", "--mypy_grpc_out=.")
MESSAGES = ("--python_out=.", "--mypy_out=.")


def generated(folder: Path) -> dict[str, str]:
    """The generated files below a folder, with their text."""
    paths = [path for path in folder.rglob("*_pb2*") if path.suffix in (".py", ".pyi")]
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in paths}


def generate(folder: Path, protos: str, outputs: tuple[str, ...]) -> None:
    """Runs protoc in a folder, with mypy-protobuf's plugins from this environment."""
    names = sorted(str(path.relative_to(folder)) for path in folder.glob(protos))
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"]}
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *names]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def test_the_committed_code_is_what_the_protos_generate(tmp_path: Path) -> None:
    fresh = tmp_path / "proto"
    shutil.copytree(PROTO, fresh, ignore=shutil.ignore_patterns("*_pb2*", "__pycache__", "*.egg-info"))
    generate(fresh, "execd_api/v1/*.proto", SERVICES)
    generate(fresh, "execd_api/pprof/*.proto", MESSAGES)
    assert generated(fresh) == generated(PROTO)
