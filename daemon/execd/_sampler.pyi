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
    def __new__(
        cls, pid: int, pidfd: int, layout: dict[str, int], nodes_limit: int, stopping: int, seed: int
    ) -> Self: ...
    def run(self, interval_ns: int, /) -> Literal["stopped", "ended"]: ...
    def stop(self) -> None: ...
    def take(self, nodes: int, codes: int, /) -> Taken: ...
