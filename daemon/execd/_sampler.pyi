from typing import Literal, Self, TypedDict

CODE_BYTES: int
CODE_HEAD: int
STOP_AS_NEEDED: int
STOP_ALWAYS: int
STOP_NEVER: int

# Arrays of `struct node`, of `struct code`, of the buckets of `struct stops`, and of counts; see daemon/native.
class Taken(TypedDict):
    nodes: bytes
    codes: bytes
    held: bytes
    counts: bytes
    figures: dict[str, int]

class Sampler:
    # `thread`: the only one that is sampled, by the kernel's number in the process's own PID namespace; 0 for all.
    # `seed`: the target must not know it.
    def __new__(
        cls, pid: int, pidfd: int, layout: dict[str, int], nodes_limit: int, stopping: int, seed: int, thread: int = 0
    ) -> Self: ...
    # One sample of each thread, now; ValueError while it is in a crowd.
    def turn(self) -> None: ...
    def news(self) -> int: ...
    # Why it has ended by itself, and when, time.monotonic(); None before.
    def end(self) -> tuple[Literal["ended", "replaced"], float] | None: ...
    # None where a turn goes on for very long.
    def take(self, nodes: int, codes: int, /) -> Taken | None: ...

# Samplers at work; threads of its own take their turns, without the GIL.
class Crowd:
    # ValueError where it is in one; RuntimeError where there can be no thread.
    def add(self, sampler: Sampler, interval_ns: int, /) -> None: ...
    # When this returns nobody is at its process any more, but for a thread whose read of it does not come back: it is
    # waited for a second or two, and ends when the read does.
    def remove(self, sampler: Sampler, /) -> None: ...
    # To be called now and then: a process whose memory does not come keeps no other one waiting then.
    def relieve(self) -> None: ...
