"""What measuring may cost a target: memory for what is recorded, CPU time of the agent's thread."""

from __future__ import annotations

from dataclasses import dataclass

from execd.errors import CollectorRefused

DEFAULT_MEMORY_BYTES = 32 << 20
# A collector with less records next to nothing.
LEAST_MEMORY_BYTES = 1 << 18
# Of the memory that the target's limits leave.
_HEADROOM_SHARE = 0.25
# Of one core, over a window; what people ask for, a snapshot or a report, is not counted.
CPU_SHARE = 0.05
CPU_WINDOW_S = 10.0


def memory_budget(asked_bytes: int, headroom_bytes: int | None) -> int:
    """Return how much memory a collector may take.

    Args:
        asked_bytes: by the user; 0 for the default.
        headroom_bytes: what the target's limits leave, None where there are none.
    """
    wanted = asked_bytes or DEFAULT_MEMORY_BYTES
    return wanted if headroom_bytes is None else min(wanted, int(headroom_bytes * _HEADROOM_SHARE))


def told_budget(pid: int, asked_bytes: int, headroom_bytes: int | None) -> tuple[int, tuple[str, ...]]:
    """Return how much memory a collector may take, and what to say where that is less than was asked for.

    Args:
        pid: of the target, for the message.
        asked_bytes: see `memory_budget`.
        headroom_bytes: the same.

    Raises:
        CollectorRefused: it is too little to record in.
    """
    allowed = memory_budget(asked_bytes, headroom_bytes)
    if allowed < LEAST_MEMORY_BYTES:
        raise CollectorRefused(
            f"the memory limits of process {pid} leave no room to record in",
            remedy="raise its limit (RLIMIT_AS, or that of its cgroup)",
            pid=pid,
        )
    asked = asked_bytes or DEFAULT_MEMORY_BYTES
    if allowed == asked:
        return allowed, ()
    kib = f"{allowed >> 10} KiB"
    return allowed, (f"records within {kib} instead of {asked >> 10}: a quarter of what the target's limits leave",)


def memory_breach(used_bytes: int, headroom_bytes: int | None) -> str:
    """Return why what is recorded has come to be too much, "" where it has not: the limits may have come nearer."""
    if headroom_bytes is None or used_bytes <= (headroom_bytes + used_bytes) * _HEADROOM_SHARE:
        return ""
    return (
        f"ended by its memory budget: {_mib(used_bytes)} were recorded in the target, "
        f"whose limits leave {_mib(headroom_bytes)}"
    )


@dataclass(slots=True)
class CpuWindow:
    """The CPU time of an agent's thread since an instant of time.monotonic()."""

    since: float
    cpu_ns: int = 0

    def breach(self, now: float, cpu_ns: int) -> str:
        """Add some, and return why it is too much, "" while it is not; a full window begins again."""
        self.cpu_ns += cpu_ns
        elapsed_s = now - self.since
        if elapsed_s < CPU_WINDOW_S:
            return ""
        share = self.cpu_ns / 1e9 / elapsed_s
        self.since, self.cpu_ns = now, 0
        if share <= CPU_SHARE:
            return ""
        return f"ended by its CPU budget: the agent's thread took {share:.0%} of a core for {elapsed_s:.0f} s"


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
