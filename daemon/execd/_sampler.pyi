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
    # In a thread that does nothing else, and ends after it.
    def run(self, interval_ns: int, /) -> Literal["stopped", "ended", "replaced"]: ...
    # One sample of each thread, now; ValueError while it runs.
    def turn(self) -> None: ...
    def news(self) -> int: ...
    def stop(self) -> None: ...
    def take(self, nodes: int, codes: int, /) -> Taken: ...
