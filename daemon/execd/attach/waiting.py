"""Since when a thread waits in a call whose time limit counts from its start, read from /proc without touching it.

Such a call, run again, would wait for its whole time once more. The scheduler notes when a thread last ran, on a clock
of each processor that stands still while a hypervisor takes it away: we run there for an instant to see what it shows
now. What is lost on the way makes the wait seem shorter than it was, so that a limit is never cut short.
"""

from __future__ import annotations

import os
import re
import time

from execd.attach import process
from execd.attach.x86_64 import TIMED_CALLS
from execd.errors import ExecdError, TargetGone

# Calls that return what they have written so far where a signal, or a stop, ends their wait for room: write, writev,
# sendfile, splice, tee, vmsplice, pwritev, copy_file_range, pwritev2. Those of sockets do too, as their callers know,
# and a server always has a thread that waits for a slow client.
WRITING_CALLS = {1, 20, 40, 275, 276, 278, 296, 326, 328}
# Where the kernel holds what is frozen, by cgroups of version 1 and 2 (kernel/freezer.c, kernel/signal.c).
_FREEZERS = {b"__refrigerator", b"do_freezer_trap"}
# A compiler may have put do_freezer_trap into this one; where a stop by a signal was put there too, the state is T.
_SIGNALS = b"get_signal"
# Where its hierarchy is mounted, alone or beside version 1.
_VERSION_2 = (b"/sys/fs/cgroup", b"/sys/fs/cgroup/unified")
_LAST_RAN = re.compile(rb"^se\.exec_start\s*:\s*([0-9]+)\.([0-9]{6})$", re.MULTILINE)
_PROCESSOR_FIELD = 36


def began_ns(pid: int, tid: int) -> int | None:
    """Return when a thread began to wait, on CLOCK_MONOTONIC; None where it is in no such call, or nothing is known."""
    try:
        if call_number(pid, tid) not in TIMED_CALLS:
            return None
        fields = process.read_file(f"/proc/{pid}/task/{tid}/stat").rpartition(b")")[2].split()
        last_ran = _last_ran_ns(f"/proc/{pid}/task/{tid}/sched")
        ahead = _monotonic_ahead_ns(int(fields[_PROCESSOR_FIELD]))
    except ExecdError:
        return None
    return None if last_ran is None or ahead is None else last_ran + ahead


def call_number(pid: int, tid: int) -> int | None:
    """Return the number of the system call that a thread waits in, None where it is in none. Raises NotPermitted."""
    try:
        call = process.read_file(f"/proc/{pid}/task/{tid}/syscall").split()
    except TargetGone:
        return None
    return int(call[0]) if call and call[0].isdigit() else None


def is_frozen(pid: int) -> bool:
    """Return whether a process is held by the freezer of its cgroup, if the kernel tells. Raises NotPermitted."""
    try:
        place = process.read_file(f"/proc/{pid}/wchan")
        return place in _FREEZERS or (place == _SIGNALS and process.state(pid, pid) == "S")
    except TargetGone:
        return False


def is_in_frozen_group(pid: int) -> bool:
    """Return whether the cgroup of version 2 of a process is frozen, if we can see it.

    A thread that is frozen may be awake for an instant, in which nothing is to be seen of it.
    """
    for line in process.read_file(f"/proc/{pid}/cgroup").splitlines():
        group = line.removeprefix(b"0::")
        for root in _VERSION_2 if group != line else ():
            try:
                return b"frozen 1" in process.read_file(os.fsdecode(root + group) + "/cgroup.events").splitlines()
            except (OSError, ExecdError):
                continue
    return False


def _last_ran_ns(path: str) -> int | None:
    """Return when a thread last ran, on its processor's clock; None where the kernel has no such file."""
    match = _LAST_RAN.search(process.read_file(path))
    return int(match[1]) * 1_000_000 + int(match[2]) if match else None


def _monotonic_ahead_ns(processor: int) -> int | None:
    """Return by how much CLOCK_MONOTONIC is ahead of a processor's clock; None where we may not run there."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {processor})
        # Has the scheduler note that we run now.
        os.sched_yield()
        ours = _last_ran_ns("/proc/thread-self/sched")
        return None if ours is None else time.monotonic_ns() - ours
    except OSError:
        return None
    finally:
        os.sched_setaffinity(0, allowed)
