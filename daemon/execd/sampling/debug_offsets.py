"""The words of a target's own `_Py_DebugOffsets`, by name (pycore_debug_offsets.h; in 3.13 pycore_runtime.h).

Their number differs by minor version, and before a version's first release candidate from one build to the next: so
the words whose values no build can choose are compared with them, and a table that was moved does not pass.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from execd.errors import NotSupported

_VERSIONS = ((3, 13), (3, 14), (3, 15))
_VERSION_WORD = 1
# Word numbers in 3.13.0, 3.14.8 and 3.15.0; None where the version has none.
_NUMBERS: dict[str, tuple[int | None, int | None, int | None]] = {
    "interpreter.size": (6, 6, 6),
    "interpreter.id": (7, 7, 7),
    "interpreter.main_thread": (None, 10, 10),
    "interpreter.gc": (10, 11, 11),
    "thread.size": (19, 22, 22),
    "thread.previous": (20, 23, 23),
    "thread.frame": (23, 26, 26),
    "thread.base_frame": (None, None, 27),
    "thread.native_thread_id": (25, 28, 31),
    "thread.datastack_chunk": (26, 29, 32),
    "thread.status": (27, 30, 33),
    "thread.holds_gil": (None, None, 34),
    "thread.gil_requested": (None, None, 35),
    "thread.exception": (None, None, 36),
    "frame.size": (28, 31, 39),
    "frame.previous": (29, 32, 40),
    "frame.code": (30, 33, 41),
    "frame.instruction": (31, 34, 42),
    "frame.localsplus": (32, 35, 43),
    "frame.owner": (33, 36, 44),
    "frame.stackpointer": (None, 37, 45),
    "code.size": (34, 39, 47),
    "code.filename": (35, 40, 48),
    "code.name": (36, 41, 49),
    "code.qualname": (37, 42, 50),
    "code.line_table": (38, 43, 51),
    "code.first_line": (39, 44, 52),
    "code.arguments": (40, 45, 53),
    "code.code": (43, 48, 56),
    "object.size": (44, 50, 58),
    "object.type": (45, 51, 59),
    "type.name": (47, 53, 61),
    "type.flags": (49, 55, 63),
    "tuple.items": (51, 57, 69),
    "set.size": (None, 62, 74),
    "set.table": (None, 64, 76),
    "set.mask": (None, 65, 77),
    "bytes.length": (65, 75, 87),
    "bytes.data": (66, 76, 88),
    "text.size": (67, 77, 89),
    "text.state": (68, 78, 90),
    "text.length": (69, 79, 91),
    "text.ascii": (70, 80, 92),
    "gc.size": (71, 81, 94),
    "gc.collecting": (72, 82, 95),
    "gc.frame": (None, None, 96),
    "generator.size": (None, 83, 99),
    "generator.frame": (None, 85, 101),
    "generator.state": (None, 86, 102),
}
# What is the same in every build of these versions that is neither free-threaded nor made for finding leaks.
_GIVEN = {
    "thread.previous": 0,
    "frame.code": 0,
    "object.size": 16,
    "object.type": 8,
    "type.name": 24,
    "type.flags": 168,
    "bytes.length": 16,
    "bytes.data": 32,
    "text.size": 64,
    "text.state": 32,
    "text.length": 16,
    "text.ascii": 40,
}
_LIMIT = 1 << 24


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one process, and which version they are of."""

    version: tuple[int, int]
    values: tuple[int, ...]

    @classmethod
    def of(cls, version: tuple[int, int], runtime_start: bytes) -> Words:
        """Return the words at the beginning of _PyRuntime.

        Args:
            version: major and minor, from 3.13.
            runtime_start: the first bytes of _PyRuntime, whose cookie has been looked at.

        Raises:
            NotSupported: they are another version's, or not laid out as in its releases.
        """
        words = cls(version, struct.unpack_from(f"<{len(runtime_start) // 8}Q", runtime_start))
        said = words.values[_VERSION_WORD]
        if (said >> 24, said >> 16 & 255) != version:
            raise words.refusal(f"they say version {said:#x}")
        for name, value in _GIVEN.items():
            if words.get(name) != value:
                raise words.refusal(f"{name} is {words.get(name)}, not {value}")
        words.compare_sizes()
        return words

    def get(self, name: str) -> int:
        """Return a word that the version has. Raises NotSupported where no struct is as large as it says."""
        number = _NUMBERS[name][_VERSIONS.index(self.version)]
        if number is None:
            raise self.refusal(f"they have no {name}")
        if self.values[number] >= _LIMIT:
            raise self.refusal(f"{name} is {self.values[number]}")
        return self.values[number]

    def find(self, name: str) -> int | None:
        """Return a word, None where the version has none of that name. Raises as `get` does."""
        return None if _NUMBERS[name][_VERSIONS.index(self.version)] is None else self.get(name)

    def compare_sizes(self) -> None:
        """Raise NotSupported where a field lies outside of its struct."""
        for name in _NUMBERS:
            whole = f"{name.partition('.')[0]}.size"
            size, offset = self.find(whole) if whole in _NUMBERS else None, self.find(name)
            if size is not None and offset is not None and offset >= size and name != whole:
                raise self.refusal(f"{name} is {offset}, outside of {size} bytes")

    def refusal(self, reason: str) -> NotSupported:
        """Return the error for words that are not as they should be."""
        major, minor = self.version
        return NotSupported(
            f"the debug offsets of this CPython {major}.{minor} are not laid out as expected: {reason}",
            remedy="report the build; its offsets can be added",
            version=f"{major}.{minor}",
        )
