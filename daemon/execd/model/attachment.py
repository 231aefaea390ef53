"""Attachment and Detachment: what an attach and a detach came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from execd.model.session import Session
    from execd.model.target import Target

# The method of an attachment that puts nothing into its target.
OUTSIDE: Final = "outside"


@dataclass(frozen=True, slots=True)
class Attachment:
    """What an attach came to; attach_us is from the request to the last session armed, stopped_us 0 when joined.

    `notes` are what the operator should know of it, a sentence each.
    """

    target: Target
    sessions: tuple[Session, ...]
    joined: bool
    attach_us: int
    stopped_us: int
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Detachment:
    """What a detach came to; `residue` is what stays in the target."""

    target: Target
    sessions: tuple[Session, ...]
    was_attached: bool
    residue: tuple[str, ...]
