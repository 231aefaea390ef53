"""What `execctl memory` tells of a process: figures of its tracing, and where live objects were allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.memory.blocks import Frame


@dataclass(frozen=True, slots=True)
class LiveObject:
    """An object that lives.

    Attributes:
        type: "module.name".
        size: of it alone, bytes.
        is_traced: whether its allocation was.
        frames: where it was allocated, the oldest one first.
    """

    type: str
    size: int
    is_traced: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """An answer.

    Attributes:
        pid: of the process.
        session: that traces it.
        figures: by name, bytes where the name says so, as in the header of a memory profile; with objects how many
            there are beside them: untraced, unseen, unfollowed.
        count, size: of all live objects of the type that was asked for.
        objects: the largest of them.
    """

    pid: int
    session: str
    figures: Mapping[str, int]
    count: int = 0
    size: int = 0
    objects: tuple[LiveObject, ...] = ()
