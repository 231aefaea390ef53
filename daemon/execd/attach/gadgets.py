"""Finding the instructions in a target's C library that a chain of signal frames is made of. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execd.attach import x86_64
from execd.attach.memory import Unmapped
from execd.errors import NotSupported

if TYPE_CHECKING:
    from execd.attach.memory import Memory
    from execd.attach.process import Mapping

_PATTERNS = (x86_64.TRAMPOLINE, x86_64.SYSCALL_RETURN)
_PIECE = 1 << 20
_OVERLAP = max(len(pattern) for pattern in _PATTERNS) - 1
# The code of a C library is 1.5 MiB; a program may map files of any size as code.
_MAPPING_LIMIT = 16 << 20
_TOTAL_LIMIT = 64 << 20
_KNOWN_LIMIT = 4096


class GadgetFinder:
    """Finds gadgets; remembers where in a file they lie, for scanning a C library takes 1 ms."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int, int], tuple[int, ...]] = {}

    def find(self, memory: Memory, mappings: list[Mapping]) -> x86_64.Gadgets:
        """Return the gadgets of a process.

        Args:
            memory: of the process.
            mappings: its memory map.

        Raises:
            NotSupported: none of its code holds both.
        """
        code = [mapping for mapping in mappings if mapping.executable and mapping.path.startswith("/")]
        code.sort(key=lambda mapping: "libc" not in mapping.path.rpartition("/")[2])
        found, looked_at = [0, 0], 0
        for mapping in code:
            for index, address in enumerate(self._addresses(memory, mapping)):
                found[index] = found[index] or address
            if all(found):
                return x86_64.Gadgets(*found)
            looked_at += min(mapping.end - mapping.start, _MAPPING_LIMIT)
            if looked_at > _TOTAL_LIMIT:
                break
        raise NotSupported(f"process {memory.pid} has no rt_sigreturn trampoline in its C library", pid=memory.pid)

    def _addresses(self, memory: Memory, mapping: Mapping) -> list[int]:
        """Return where the patterns lie, 0 for one that is not there."""
        key = (mapping.path, mapping.device, mapping.inode, mapping.offset)
        known = self._known.get(key)
        if known is None or not _are_there(memory, mapping, known):
            # A file of the same name and inode may have been written over since.
            known = _scan(memory, mapping)
            if len(self._known) >= _KNOWN_LIMIT:
                self._known.clear()
            self._known[key] = known
        return [mapping.start + place if place >= 0 else 0 for place in known]


def _scan(memory: Memory, mapping: Mapping) -> tuple[int, ...]:
    places = [-1] * len(_PATTERNS)
    size = min(mapping.end - mapping.start, _MAPPING_LIMIT)
    for offset in range(0, size, _PIECE):
        try:
            data = memory.read(mapping.start + offset, min(_PIECE + _OVERLAP, size - offset))
        except Unmapped:  # the file is shorter than its mapping
            break
        for index, pattern in enumerate(_PATTERNS):
            if places[index] < 0 and (place := data.find(pattern)) >= 0:
                places[index] = offset + place
        if min(places) >= 0:
            break
    return tuple(places)


def _are_there(memory: Memory, mapping: Mapping, places: tuple[int, ...]) -> bool:
    try:
        return all(
            place < 0 or memory.read(mapping.start + place, len(pattern)) == pattern
            for place, pattern in zip(places, _PATTERNS, strict=True)
        )
    except Unmapped:
        return False
