"""How long an attach takes and how long it stops the target, beside memray's and debugpy's attach.

    python benchmarks/bench_attach.py [--rounds 30] [--peers]

Three things are measured, each on a busy and on an asyncio-idle target:
  rpc      from the Attach call to the collector armed, through a warm daemon; `stopped` is what its threads were held
  command  the whole command `execctl attach PID --profile`, its interpreter's start included
  peers    in turn with it the whole command of memray (by gdb) and of debugpy; both must be importable in the target,
           so that its interpreter gets them in a venv of its own, and a fresh target a round
Prints a table for benchmarks/RESULTS.md. Needs what `make bench` installs; peers need gdb.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import interpreters
from execctl.client import Client
from execctl.query import SessionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpreters import Interpreter

BUSY = "print('ready', flush=True)\ndef f(n): return sum(range(n))\nwhile True: f(50)"
IDLE = "import asyncio\nasync def main():\n print('ready', flush=True)\n await asyncio.sleep(3600)\nasyncio.run(main())"
TARGETS = {"busy": BUSY, "asyncio-idle": IDLE}
PEER_PYTHONS = ("3.11", "3.13")
PEER_TIMEOUT_S = 60


@contextlib.contextmanager
def target(argv: list[str], program: str) -> Iterator[int]:
    """Run a program and yield its PID."""
    process = subprocess.Popen([*argv, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def daemon() -> Iterator[str]:
    """Run a daemon of our own and yield its socket."""
    with tempfile.TemporaryDirectory() as directory:
        places = ["--socket", f"{directory}/s", "--data-dir", f"{directory}/data"]
        subprocess.run([sys.executable, "-P", "-m", "execd", "start", *places], check=True, stdout=subprocess.DEVNULL)
        try:
            yield f"{directory}/s"
        finally:
            subprocess.run(
                [sys.executable, "-P", "-m", "execd", "stop", *places], check=True, stdout=subprocess.DEVNULL
            )


def by_rpc(client: Client, pid: int) -> tuple[float, float]:
    """Attach once and detach; return milliseconds to armed, and stopped."""
    spec = SessionSpec("calls", {"builtins": True, "subcalls": True})
    answer = client.attach(str(pid), [spec], timeout_s=10.0).attachment
    client.detach(str(pid))
    return answer.attach_s * 1000, answer.stopped_s * 1000


def timed(command: list[str]) -> float | None:
    """Return a command's wall time in milliseconds, None where it failed."""
    began = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, timeout=PEER_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    return (time.perf_counter() - began) * 1000 if done.returncode == 0 else None


def row(name: str, values: list[float | None]) -> str:
    """Return a line of the table: median, 90th percentile and maximum of what succeeded."""
    good = sorted(value for value in values if value is not None)
    failed = f", {len(values) - len(good)} failed" if len(good) < len(values) else ""
    if not good:
        return f"| {name} | - | - | - | {len(values)}{failed} |"
    p90 = good[int(0.9 * (len(good) - 1))]
    return f"| {name} | {statistics.median(good):.2f} | {p90:.2f} | {good[-1]:.2f} | {len(values)}{failed} |"


def measure_rpc(python: Interpreter, client: Client, rounds: int) -> list[str]:
    """Return the lines of the RPC for one interpreter: one target a kind, attached to again and again."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for name, program in TARGETS.items():
        with target(list(python.argv), program) as pid:
            figures[name] = [by_rpc(client, pid) for _ in range(rounds + 1)]
    lines = []
    for name, values in figures.items():
        # The first one reads the interpreter's ELF file; all later ones find it remembered.
        lines.append(row(f"rpc to armed, {python.version} {name}, first", [values[0][0]]))
        lines.append(row(f"rpc to armed, {python.version} {name}", [value for value, _ in values[1:]]))
        lines.append(row(f"stopped, {python.version} {name}", [value for _, value in values[1:]]))
    return lines


def peer_python(python: Interpreter, directory: str) -> str:
    """Return an interpreter that can import the peers."""
    folder = f"{directory}/{python.version}"
    subprocess.run([*python.argv, "-m", "venv", folder], check=True)
    subprocess.run([f"{folder}/bin/pip", "install", "-q", "memray", "debugpy"], check=True)
    return f"{folder}/bin/python"


def measure_peers(python: Interpreter, client_socket: str, rounds: int, directory: str) -> list[str]:
    """Return the lines of whole commands: ours, memray's, debugpy's, in turn, a fresh target each."""
    executable = peer_python(python, directory)
    execctl = shutil.which("execctl", path=str(Path(sys.executable).parent)) or "execctl"
    figures: dict[str, list[float | None]] = {}
    for index in range(rounds):
        for kind, program in TARGETS.items():
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            commands = {
                "execctl attach": lambda pid: [execctl, "--socket", client_socket, "attach", str(pid), "--profile"],
                "memray attach": lambda pid, index=index: [
                    *(executable, "-m", "memray", "attach", "--method", "gdb"),
                    *("-o", f"{directory}/{index}-{pid}.bin", str(pid)),
                ],
                "debugpy": lambda pid, port=port: [
                    *(executable, "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--pid", str(pid)),
                ],
            }
            for name, command in commands.items():
                with target([executable], program) as pid:
                    figures.setdefault(f"{name}, {python.version} {kind}", []).append(timed(command(pid)))
    return [row(name, values) for name, values in figures.items()]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--peers", action="store_true", help="also memray and debugpy, a tenth of the rounds")
    chosen = arguments.parse_args()
    print(f"{platform.platform()}, {platform.python_version()}; milliseconds")
    print("| what | median | p90 | max | rounds |\n|---|---|---|---|---|")
    found = interpreters.find_interpreters(os.environ)
    with daemon() as path, Client(path) as client, tempfile.TemporaryDirectory() as directory:
        for python in found.values():
            print(*measure_rpc(python, client, chosen.rounds), sep="\n", flush=True)
        for python in found.values() if chosen.peers else ():
            if python.version in PEER_PYTHONS:
                lines = measure_peers(python, path, max(chosen.rounds // 10, 1), directory)
                print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
