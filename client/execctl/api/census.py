"""A census: the live objects of a process by type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execctl.api.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TypeCount:
    """The live objects of a type.

    Attributes:
        type: "module.Name".
        count: how many.
        size_bytes: of them alone, without what they refer to.
    """

    type: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CensusProfile(Profile):
    """What `Client.census` counts.

    Attributes:
        types: the most bytes first.
    """

    types: tuple[TypeCount, ...]


def read_census(raw: Mapping[str, Any], begun: Mapping[str, Any]) -> CensusProfile:
    """Return the profile that a JSON report of a census holds."""
    return CensusProfile(
        **begun, types=tuple(TypeCount(one["type"], one["count"], one["size"]) for one in raw["types"])
    )
