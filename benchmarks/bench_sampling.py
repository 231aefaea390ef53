"""What sampling costs a program, and what it shows, beside py-spy and the sampler of CPython 3.15.

    python benchmarks/bench_sampling.py [--quick] [--of shown,throughput,ten] [--programs NAME,...] [--versions 3.13]
        [--tools NAME,...] [--rates 200,1000] [--pairs 30] [--seconds 10] [--wrong] [--many MINUTES]

Takes hours on the programs, versions and samplers that it has; --quick some minutes, for figures that say little.

The programs are those of tests/targets/sampled.py, of which it is known who may call whom and how the time is shared
out. execd samples through a daemon of its own. Prints tables for benchmarks/RESULTS.md:
  shown       one recording each: achieved rate, own CPU, lost, unsettled and impossible stacks, how long threads were
              held; and the shares of planted leaves
  throughput  the work that a program does with a sampler, of what it does without: medians of interleaved pairs with
              their 95% interval, and pairs without any sampler beside them. By CPU time; by the clock, where other
              programs that have the processors spoil it; and by the clock without the time that it waited for one
  ten         what the daemon takes for ten processes at 20 Hz, recorded all the time
  many        with --many: what it takes for 100 of them, and its memory, over so many minutes
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sampling_crowd import cpu_percent, cpu_s, crowd, slope_kib_a_minute
from sampling_stacks import Stack, impossible, judged, shares
from sampling_targets import per_cpu, per_running, per_wall, planted_in, ratio, target, window
from sampling_tools import NONE, PY_SPY, STOPPINGS, TACHYON, TOOLS, sampling

from daemons import Daemon  # isort: skip - of the tests, as the two below
from interpreters import find_interpreters  # isort: skip
from programs import ProgramFolders  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from interpreters import Interpreter
    from programs import Program
    from sampling_crowd import Use
    from sampling_stacks import Share
    from sampling_targets import Ratio, Window
    from sampling_tools import Taken

SECTIONS: Final = ("shown", "throughput", "ten")
PROGRAMS: Final = ("short", "recursive", "generators", "exceptions", "threads", "leaves", "native")
VERSIONS: Final = ("3.11", "3.13", "3.15")
TACHYON_VERSION: Final = "3.15"
RATES_HZ: Final = (200.0, 1000.0, 10000.0)
WINDOW_S: Final = 0.5
# Of one recording, which takes a while to begin; what is compared must not lie far apart.
WINDOWS: Final = 5
PAIRS: Final = {False: 30, True: 3}
# Of other tools, most of which cost so much that few pairs show it.
PEER_PAIRS: Final = 9
SECONDS: Final = {False: 10.0, True: 2.0}
TEN: Final = 10
MANY: Final = 100
RATIOS: Final = (per_cpu, per_running, per_wall)
USUAL_TOOLS: Final = (NONE, "execd", *PY_SPY, TACHYON)
SHOWN: Final = "achieved | own CPU % | lost % | unsettled % | impossible % | stacks | stopped, p50 / p99 us | load"
LEAVES: Final = "0.1 us | 1 us | 2 us | 10 us | 100 us"
THROUGHPUT: Final = "pairs | CPU time | clock, less waits for a processor | clock | load"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        python, name: what is sampled.
        tool: by what.
        rate_hz: how often a second it is asked to.
    """

    python: Interpreter
    name: str
    tool: str
    rate_hz: float

    @property
    def cells(self) -> str:
        """The beginning of its line in a table."""
        return f"| {self.python.version} | {self.name} | {self.tool} | {self.rate_hz:,.0f}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one recording was like.

    Attributes:
        taken: what it met.
        own_cpu: what the sampler computed, a share of a core.
        stacks: how many were of the program's own work.
        impossible: share of them that cannot have been.
        shares: of planted leaves.
    """

    taken: Taken
    own_cpu: float
    stacks: int
    impossible: Mapping[Stack, int]
    shares: Mapping[str, Share]


def shown(case: Case, daemon: Daemon, program: Program, seconds: float) -> Shown:
    """Return what one recording of so many seconds is like."""
    with sampling(case.tool, daemon, program, case.rate_hz) as running:
        began_s, began_cpu_s = time.monotonic(), cpu_s(running.pid)
        time.sleep(seconds)
        own_cpu = (cpu_s(running.pid) - began_cpu_s) / (time.monotonic() - began_s)
        taken = running.end()
    own = judged(taken.stacks, case.name)
    found = shares(own, planted_in(program)) if case.name == "leaves" and own else {}
    return Shown(taken, own_cpu, own.total(), impossible(own, case.name), found)


def paired(case: Case, daemon: Daemon, program: Program, pairs: int) -> list[tuple[Window, Window]]:
    """Return what a program does with a sampler and without, in turn."""
    found: list[tuple[Window, Window]] = []
    while len(found) < pairs:
        # Each comes first as often as the other: a speed that rises or falls is in neither's favour.
        is_first = len(found) // WINDOWS % 2
        without = _windows(program) if not is_first else []
        with sampling(case.tool, daemon, program, case.rate_hz) as running:
            with_it = _windows(program)
            running.end()
        found += zip(with_it, without or _windows(program), strict=True)
    return found[:pairs]


def _windows(program: Program) -> list[Window]:
    return [window(program, WINDOW_S) for _ in range(WINDOWS)]


def shown_line(case: Case, found: Shown) -> str:
    """Return a line of the table."""
    taken, wrong = found.taken, sum(found.impossible.values())
    unsettled = "" if taken.unsettled is None else f"{100 * taken.unsettled:.2f}"
    stops = "" if taken.stops is None else "{:,}, {:.0f} / {:.0f}".format(*taken.stops)
    share = f"{100 * wrong / found.stacks:.3f}" if found.stacks else "no stacks"
    return (
        f"{case.cells} | {taken.achieved_hz:,.1f} | {100 * found.own_cpu:.1f} | {100 * taken.lost:.2f} "
        f"| {unsettled} | {share} | {found.stacks:,} | {stops} | {os.getloadavg()[0]:.1f} |"
    )


def leaves_line(case: Case, found: Shown) -> str:
    """Return a line of the table: of each leaf the share, between which it is to be, and standard errors outside."""
    cells = [
        f"{100 * one.measured:.2f} ({100 * one.low:.2f} to {100 * one.high:.2f}) {one.errors:+.1f}"
        for one in found.shares.values()
    ]
    return f"{case.cells} | {' | '.join(cells)} |"


def throughput_line(case: Case, pairs: list[tuple[Window, Window]]) -> str:
    """Return a line of the table."""
    cells = [_ratio_cell(ratio([how(*pair) for pair in pairs])) for how in RATIOS]
    return f"{case.cells} | {len(pairs)} | {' | '.join(cells)} | {os.getloadavg()[0]:.1f} |"


def _ratio_cell(found: Ratio) -> str:
    return f"{found.median:.3f} [{found.low:.3f}, {found.high:.3f}]"


def cases(asked: argparse.Namespace) -> Iterator[Case]:
    """Return what is asked for, those of one program together."""
    for version, python in find_interpreters(os.environ).items():
        for name in asked.programs if version in asked.versions else ():
            for tool in asked.tools:
                rates = asked.rates[:1] if tool == NONE else asked.rates
                if tool != TACHYON or version == TACHYON_VERSION:
                    yield from (Case(python, name, tool, rate_hz) for rate_hz in rates)


def print_table(head: str, lines: list[str]) -> None:
    """Print a table."""
    columns = f"| Python | program | sampler | Hz | {head} |"
    print(f"\n{columns}\n|{'---|' * (columns.count('|') - 1)}", *lines, sep="\n", flush=True)


def load() -> str:
    """Return what else the machine does."""
    return f"Load {' '.join(f'{one:.1f}' for one in os.getloadavg())} on {os.cpu_count()} processors."


def print_shown(asked: argparse.Namespace, folders: ProgramFolders, daemon: Daemon) -> None:
    """Measure and print what recordings are like."""
    lines, leaves, wrong = [], [], []
    for case in (one for one in cases(asked) if one.tool != NONE):
        with target(folders, case.python, case.name) as program:
            found = shown(case, daemon, program, asked.seconds)
        lines.append(shown_line(case, found))
        print(lines[-1], flush=True)
        wrong += [f"{case.cells} | {count} x {' > '.join(stack)}" for stack, count in found.impossible.items()]
        if found.shares:
            leaves.append(leaves_line(case, found))
    print_table(SHOWN, lines)
    print_table(LEAVES, leaves)
    if asked.wrong:
        print("\nImpossible:", *wrong, sep="\n")


def print_throughput(asked: argparse.Namespace, folders: ProgramFolders, daemon: Daemon) -> None:
    """Measure and print what recordings cost a program."""
    lines = []
    for case in cases(asked):
        pairs = asked.pairs if case.tool in (NONE, *STOPPINGS) else min(asked.pairs, PEER_PAIRS)
        with target(folders, case.python, case.name) as program:
            lines.append(throughput_line(case, paired(case, daemon, program, pairs)))
        print(lines[-1], flush=True)
    print_table(THROUGHPUT, lines)


def print_crowd(folders: ProgramFolders, versions: list[str], count: int, seconds: float) -> None:
    """Measure and print what a daemon uses for so many processes."""
    pythons = [python for version, python in find_interpreters(os.environ).items() if version in versions]
    print(f"\n{count} processes at 20 Hz: the daemon's CPU, and its memory after so many seconds\n")
    print("| s | CPU % | resident KiB |\n|---|---|---|", flush=True)
    uses: list[Use] = []
    for use in crowd(folders, pythons, count, seconds):
        if uses:
            print(f"| {use.at_s:.0f} | {cpu_percent(uses[-1], use):.2f} | {use.resident_kib:,} |", flush=True)
        uses.append(use)
    whole, slope = cpu_percent(uses[0], uses[-1]), slope_kib_a_minute(uses)
    print(f"\nIn all {whole:.2f}%; {slope:+.1f} KiB a minute in the later half. {load()}", flush=True)


def parsed() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pairs, short recordings")
    parser.add_argument("--wrong", action="store_true", help="list the impossible stacks")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--many", type=float, default=0.0, metavar="MINUTES")
    choices = {"of": SECTIONS, "programs": PROGRAMS, "versions": VERSIONS, "tools": USUAL_TOOLS}
    for name, known in choices.items():
        parser.add_argument(f"--{name}", default=known, type=lambda text: tuple(filter(None, text.split(","))))
    parser.add_argument("--rates", default=RATES_HZ, type=lambda text: tuple(map(float, text.split(","))))
    asked = parser.parse_args()
    asked.pairs = asked.pairs or PAIRS[asked.quick]
    asked.seconds = asked.seconds or SECONDS[asked.quick]
    unknown = set(asked.tools) - {*TOOLS, NONE}
    if unknown:
        parser.error(f"there is no sampler {unknown.pop()}: choose from {', '.join((*TOOLS, NONE))}")
    return asked


def main() -> None:
    """Measure what is asked for, and print."""
    asked = parsed()
    # A shell's background job ignores it, its children too: Tachyon would not end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folders = ProgramFolders()
    print(f"{platform.platform()}, {platform.python_version()}. {load()}", flush=True)
    try:
        if asked.of:
            with Daemon() as daemon:
                if "shown" in asked.of:
                    print_shown(asked, folders, daemon)
                if "throughput" in asked.of:
                    print_throughput(asked, folders, daemon)
        if "ten" in asked.of:
            print_crowd(folders, asked.versions, TEN, 6 * asked.seconds)
        if asked.many:
            print_crowd(folders, asked.versions, MANY, 60 * asked.many)
    finally:
        folders.remove()


if __name__ == "__main__":
    main()
