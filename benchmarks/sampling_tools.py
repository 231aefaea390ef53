"""The samplers that are compared: execd through a daemon, py-spy in its two modes, and the one of CPython 3.15.

Each samples a program by its PID until it is told to end, and says what it met in one form.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from execd.model import codec
from execd.model.profile import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from daemons import Daemon
    from execd.model.profile import Profile
    from programs import Program

Stopping = Literal["as needed", "always", "never"]
STOPPINGS: Final[dict[str, Stopping]] = {"execd": "as needed", "execd --stop": "always", "execd --never-stop": "never"}
PY_SPY: Final = {"py-spy": (), "py-spy --nonblocking": ("--nonblocking",)}
TACHYON: Final = "Tachyon"
NONE: Final = "nothing"
TOOLS: Final = (*STOPPINGS, *PY_SPY, TACHYON)
# A slice that was unsettled is followed by one that stops: after two of them it does what it goes on to do.
SETTLED_S = 2.2
# Nothing is said when it begins; it has imported itself by then.
TACHYON_START_S = 2.5
END_S = 60.0
LOST = ("unread", "torn", "no_code", "no_room")
READ = ("verified", "unsettled")
PY_SPY_TOLD = re.compile(r"Samples: (\d+) Errors: (\d+)")
TACHYON_TOLD = re.compile(r"Captured ([\d,]+) samples in ([\d.]+) seconds.*?Error rate: ([\d.]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a sampler met.

    Attributes:
        stacks: names of functions, outermost first, of all threads that it showed; how often each was met.
        achieved_hz: looks a second.
        lost: share of the looks that came to nothing.
        unsettled: share of the stacks that it marked as unsure in part; None where it does not say.
        stops: how often it held a thread, and the median and 99th percentile of that in us; None where it does not say.
    """

    stacks: Counter[tuple[str, ...]]
    achieved_hz: float
    lost: float
    unsettled: float | None = None
    stops: tuple[int, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A sampler at work.

    Attributes:
        pid: of the process that samples, 0 for none.
        end: ends it, and returns what it met; once.
    """

    pid: int
    end: Callable[[], Taken]


@contextlib.contextmanager
def sampling(tool: str, daemon: Daemon, program: Program, rate_hz: float) -> Iterator[Running]:
    """Sample a program, from when the tool does so until `end` of what is yielded was called.

    Args:
        tool: one of TOOLS, or NONE.
        daemon: for those of execd.
        program: what is sampled.
        rate_hz: how often a second.
    """
    if tool == NONE:
        yield Running(0, lambda: Taken(Counter(), 0.0, 0.0))
    elif tool in STOPPINGS:
        with _execd(daemon, program, rate_hz, STOPPINGS[tool]) as running:
            yield running
    elif tool in PY_SPY:
        with _py_spy(program, rate_hz, PY_SPY[tool]) as running:
            yield running
    else:
        with _tachyon(program, rate_hz) as running:
            yield running


@contextlib.contextmanager
def _execd(daemon: Daemon, program: Program, rate_hz: float, stopping: Stopping) -> Iterator[Running]:
    with daemon.client() as client:
        recording = client.attach(program.pid, sample=True, rate_hz=rate_hz, stopping=stopping)
        if stopping == STOPPINGS["execd"]:
            time.sleep(SETTLED_S)

        def end() -> Taken:
            recording.end()
            return _taken(codec.decode(daemon.final_profile(recording.sessions[0].id)))

        yield Running(daemon.process.pid, end)


def _taken(profile: Profile) -> Taken:
    """Return what is in a profile of ours."""
    paths: list[tuple[str, ...]] = []
    stacks: Counter[tuple[str, ...]] = Counter()
    for node, (parent, count) in enumerate(zip(profile.parents, profile.column("samples"), strict=True)):
        name = profile.functions[profile.function_of(node)].name
        above = paths[parent] if parent != ROOT else ()
        paths.append(above if name.startswith("(system call ") else (*above, name))
        stacks[paths[node]] += count
    extra, header = profile.header.extra, profile.header
    samples = sum(stacks.values())
    lost = sum(header.lost.get(reason, 0) for reason in LOST)
    read = sum(_number(extra, name) for name in READ)
    stops = None
    if extra["stopped"]:
        stops = (int(_number(extra, "stopped")), _number(extra, "stop_p50_us"), _number(extra, "stop_p99_us"))
    return Taken(
        +stacks,
        _number(extra, "achieved_hz"),
        lost / max(1, samples + lost),
        _number(extra, "unsettled") / max(1.0, read),
        stops,
    )


def _number(extra: Mapping[str, object], name: str) -> float:
    value = extra[name]
    assert isinstance(value, int | float)
    return value


@contextlib.contextmanager
def _py_spy(program: Program, rate_hz: float, options: tuple[str, ...]) -> Iterator[Running]:
    where = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "raw"
        words = ["record", "--pid", str(program.pid), "--rate", f"{rate_hz:.0f}", "--format", "raw"]
        with _child([where, *words, "--output", str(written), *options]) as child:
            assert child.stdout is not None
            while "Press Control-C" not in child.stdout.readline():
                assert child.poll() is None, "py-spy has ended"
            began = time.monotonic()

            def end() -> Taken:
                child.send_signal(signal.SIGINT)
                seconds = time.monotonic() - began
                told = PY_SPY_TOLD.search(child.communicate(timeout=END_S)[0])
                if not told:
                    return Taken(Counter(), 0.0, 1.0)
                looks, errors = map(int, told.groups())
                return Taken(_py_spy_stacks(written), looks / seconds, errors / max(1, looks))

            yield Running(child.pid, end)


def _py_spy_stacks(written: Path) -> Counter[tuple[str, ...]]:
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in written.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        stacks[tuple(_name(frame.rpartition(" (")[0]) for frame in frames.split(";"))] += int(count)
    return stacks


@contextlib.contextmanager
def _tachyon(program: Program, rate_hz: float) -> Iterator[Running]:
    python = program.interpreter
    with tempfile.TemporaryDirectory(dir=Path(python.root or "/") / "tmp") as folder:
        written = Path(folder) / "collapsed"
        words = ["attach", "--all-threads", "--collapsed", "--sampling-rate", f"{rate_hz:.0f}", "--output"]
        command = [*python.argv, "-m", "profiling.sampling", *words, python.inside(written), str(program.pid)]
        with _child(command) as child:
            time.sleep(TACHYON_START_S)

            def end() -> Taken:
                child.send_signal(signal.SIGINT)
                output = child.communicate(timeout=END_S)[0]
                told = TACHYON_TOLD.search(output)
                assert told, output
                looks, seconds, percent = (float(value.replace(",", "")) for value in told.groups())
                return Taken(_tachyon_stacks(written), looks / seconds, percent / 100)

            yield Running(child.pid, end)


def _tachyon_stacks(written: Path) -> Counter[tuple[str, ...]]:
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in written.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        stacks[tuple(_name(frame.rsplit(":", 2)[-2]) for frame in frames.split(";")[1:])] += int(count)
    return stacks


def _name(qualified: str) -> str:
    """Return the last part of a name."""
    return qualified.rpartition(".")[2]


@contextlib.contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a tool; it is killed where it was not told to end."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()
