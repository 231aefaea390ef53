"""Worlds for the sampler: structs of an interpreter of no version, laid in our own memory, true or lying.

The sampler reads them as it reads any process: so what no interpreter says of itself can be said to it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from execd import _sampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NONE = -1
SEED = 4711
WORLD_BYTES = 1 << 24
WORD = struct.Struct("<Q")
# Of a thread state, a frame and a code object, as LAYOUT has them.
NEXT, THREAD_ID, NATIVE_ID, FRAME, FLAGS, CHUNK, CHUNK_TOP, THREAD_BYTES = 0, 8, 16, 24, 32, 40, 48, 64
CODE, PREVIOUS, INSTRUCTION, FRAME_BYTES = 0, 8, 16, 24
TYPE, UNITS, MARK, CODE_BYTES = 8, 16, 24, 64
INSTRUCTIONS = 100
LAYOUT = {
    "thread_size": THREAD_BYTES,
    "thread_next": NEXT,
    "thread_id": THREAD_ID,
    "native_id": NATIVE_ID,
    "pthread_tid": NONE,
    "frame": FRAME,
    "frame_in_cframe": NONE,
    "chunk": NONE,
    "chunk_top": NONE,
    "holds_gil": FLAGS,
    "holds_gil_mask": 1,
    "chunk_previous": 0,
    "chunk_size": 8,
    "chunk_data": 16,
    "frame_size": FRAME_BYTES,
    "frame_code": CODE,
    "frame_tag_bits": 0,
    "frame_previous": PREVIOUS,
    "frame_instruction": INSTRUCTION,
    "instruction_is_pointer": 0,
    "instruction_unit": 2,
    "frame_owner": NONE,
    "hidden_owner": NONE,
    "frame_executing": NONE,
    "executing_mark": 0,
    "code_size": CODE_BYTES,
    "code_start": CODE_BYTES,
    "code_units": UNITS,
    "mark_1": MARK,
    "mark_1_size": 8,
    "mark_2": MARK,
    "mark_2_size": 8,
    "mark_3": MARK,
    "mark_3_size": 8,
    "interpreter_next": 0,
    "threads_head": 8,
    "gil": 0,
    "gil_is_pointer": 0,
    "gil_address": 0,
    "gil_holder": 0,
    "gil_locked": 0,
    "gil_size": 64,
}
WITH_CHUNKS = {"chunk": CHUNK, "chunk_top": CHUNK_TOP}


class World:
    """Memory of ours with structs in it.

    Args:
        native_id: of the thread of ours that its thread states are of, where no other one is named.
    """

    def __init__(self, native_id: int) -> None:
        self._native_id = native_id
        self._memory = ctypes.create_string_buffer(WORLD_BYTES)
        self._start = self._free = (ctypes.addressof(self._memory) + 15) & ~15
        self.head = self.make(8)
        self.code_type = self.make(16)

    @property
    def layout(self) -> dict[str, int]:
        """Of its structs."""
        return {**LAYOUT, "interpreters_head": self.head, "code_type": self.code_type}

    def make(self, size: int) -> int:
        """Return the address of so many bytes of zeros."""
        address = self._free
        self._free += (size + 15) & ~15
        assert self._free <= self._start + WORLD_BYTES - 16
        return address

    def set(self, address: int, *words: int) -> int:
        """Write words one after the other, and return the address."""
        text = b"".join(WORD.pack(one) for one in words)
        ctypes.memmove(address, text, len(text))
        return address

    def interpreter(self, first_thread: int, following: int = 0) -> int:
        return self.set(self.make(16), following, first_thread)

    def thread(self, following: int, frame: int, native_id: int = 0) -> int:
        """A thread state."""
        return self.set(self.make(THREAD_BYTES), following, 1, native_id or self._native_id, frame)

    def threads(self, frames: Iterable[int]) -> int:
        """A list of thread states with these frames, and return the first."""
        first = 0
        for frame in frames:
            first = self.thread(first, frame)
        return first

    def code(self) -> int:
        """A code object unlike all others."""
        address = self.make(CODE_BYTES)
        return self.set(address, 1, self.code_type, INSTRUCTIONS, address)

    def frame(self, code: int, caller: int = 0) -> int:
        return self.set(self.make(FRAME_BYTES), code, caller, 0)

    def stack(self, codes: Iterable[int]) -> int:
        """Frames of these, the outermost first, and return the innermost."""
        frame = 0
        for code in codes:
            frame = self.frame(code, frame)
        return frame

    @contextmanager
    def sampler(self, *, nodes_limit: int = 1 << 16, thread: int = 0, **fields: int) -> Iterator[_sampler.Sampler]:
        """A sampler of this world, which stops nobody.

        Args:
            nodes_limit: of its tree.
            thread: the only one that is sampled, 0 for all.
            **fields: of the layout, where they are others.
        """
        pidfd = os.pidfd_open(os.getpid())
        layout = {**self.layout, **fields}
        try:
            yield _sampler.Sampler(os.getpid(), pidfd, layout, nodes_limit, _sampler.STOP_NEVER, SEED, thread)
        finally:
            os.close(pidfd)
