"""How long an attach stops a target of 1, 50 and 200 threads, idle and busy.

    python benchmarks/bench_stops.py [--rounds 100]

Two ways in which threads are held are measured, each on a fresh look at one target:
  one   the main thread alone is held: what a borrowed thread and a link's system calls need
  all   every thread is held at once: what the ring of pending calls and the debugger's fields need
`span` is from the first stop to the last release, `longest` what the thread had to wait that was held longest, and
`sum` is summed over the threads. Prints a table for benchmarks/RESULTS.md; targets run under this interpreter.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from execd.attach import process
from execd.attach.ptrace import Ptrace
from execd.attach.stopped import StopClock, Stopper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = (1, 50, 200)
BUSY_THREADS = 2
NICENESS = -10
PROGRAM = """
import sys, threading
threading.stack_size(256 << 10)
count, busy = int(sys.argv[1]), int(sys.argv[2])
def work():
    while True: sum(range(50))
def idle():
    threading.Event().wait()
for index in range(count - 1):
    threading.Thread(target=work if index < busy - 1 else idle, daemon=True).start()
print('ready', flush=True)
(work if busy else idle)()
"""


@contextlib.contextmanager
def target(threads: int, busy: int) -> Iterator[int]:
    """Run a program of so many threads and yield its PID."""
    command = [sys.executable, "-c", PROGRAM, str(threads), str(busy)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()


def hold_one(stopper: Stopper) -> None:
    """Hold the main thread, and look at its registers."""
    with stopper.one(stopper.pid):
        stopper.registers(stopper.pid)


def hold_all(stopper: Stopper) -> None:
    """Hold all threads, and look at the registers of the main one."""
    with stopper.all():
        stopper.registers(stopper.pid)


def measured(pid: int, hold: Callable[[Stopper], None], rounds: int) -> list[StopClock]:
    """Hold a target so often, each time with a clock of its own."""
    clocks = []
    ptrace, mappings = Ptrace(), process.mappings(pid)
    for _ in range(rounds):
        clock = StopClock()
        hold(Stopper(pid, ptrace, clock, mappings))
        clocks.append(clock)
        time.sleep(0.005)
    return clocks


def percentiles(values: list[int]) -> str:
    """Return median, 99th percentile and maximum of nanoseconds, in milliseconds, as cells of the table."""
    ordered = sorted(values)
    chosen = (ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))], ordered[-1])
    return " | ".join(f"{value / 1e6:.2f}" for value in chosen)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=100)
    rounds = arguments.parse_args().rounds
    gc.disable()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    print(f"{platform.platform()}, {platform.python_version()}; milliseconds; {rounds} rounds a line")
    print("| threads | held | span p50 | p99 | max | longest p50 | p99 | max | sum p50 | p99 | max |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for threads in THREADS:
        for state, busy in (("idle", 0), ("busy", min(threads, BUSY_THREADS))):
            with target(threads, busy) as pid:
                for name, hold in (("one", hold_one), ("all", hold_all)):
                    clocks = measured(pid, hold, rounds)
                    columns = ([clock.span_ns for clock in clocks], [clock.longest_ns for clock in clocks])
                    cells = " | ".join(map(percentiles, (*columns, [clock.held_ns for clock in clocks])))
                    print(f"| {threads} {state} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
