"""Comparison of samples: by how much the share of each place differs, for two recordings differ in length.

Of one recording the later profile has all that the earlier one has: what came after that is compared with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from execd.model.change import Kind, of_one_session
from execd.model.difference import since
from execd.model.profile import IMPORTED
from execd.model.samples import NONE, standard_error
from execd.model.slices import between, has_slices, starts_between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execd.model.fold import FunctionKey
    from execd.model.profile import Profile
    from execd.model.samples import Amount


@dataclass(frozen=True, slots=True)
class ShareChange:
    """A place whose share differs.

    Attributes:
        kind: whether it is new, gone, more or less: by its own share, where these are equal by all that it called.
        place: which.
        earlier, later: what it has of the samples then and now.
        own, total: by how much its shares differ, later less earlier.
        error: the standard error of the difference of its own share.
    """

    kind: Kind
    place: FunctionKey
    earlier: Amount
    later: Amount
    own: float
    total: float
    error: float


def came_after(earlier: Profile, later: Profile) -> Profile | None:
    """Return what a later profile of the same recording has more, None where it is not such."""
    ended_at = earlier.header.ended_at
    is_of_one = of_one_session(earlier.header, later.header) and later.header.form != IMPORTED
    if not is_of_one or later.header.ended_at <= ended_at:
        return None
    if not has_slices(later):
        found = since(later, earlier)
        return replace(found, header=replace(later.header, started_at=max(ended_at, later.header.started_at)))
    if not starts_between(later, ended_at, later.header.ended_at):
        return None
    return between(later, ended_at, later.header.ended_at)


def share_changes(
    earlier: Mapping[FunctionKey, Amount], later: Mapping[FunctionKey, Amount]
) -> dict[FunctionKey, ShareChange]:
    """Return what differs, by place, the largest change of a place's own share first.

    Args:
        earlier: what each place has of the samples.
        later: likewise.
    """
    sizes = [sum(one.own for one in amounts.values()) for amounts in (earlier, later)]
    found = [
        change
        for place in dict.fromkeys([*earlier, *later])
        if (change := _change(place, earlier.get(place, NONE), later.get(place, NONE), *sizes))
    ]
    found.sort(key=lambda one: (-abs(one.own), -abs(one.total), one.place))
    return {one.place: one for one in found}


def _change(place: FunctionKey, earlier: Amount, later: Amount, before: int, after: int) -> ShareChange | None:
    own, total = (
        (now / after if after else 0.0) - (then / before if before else 0.0)
        for then, now in ((earlier.own, later.own), (earlier.total, later.total))
    )
    if not own and not total:
        return None
    error = math.hypot(standard_error(earlier.own, before), standard_error(later.own, after))
    return ShareChange(_kind(earlier, later, own or total), place, earlier, later, own, total, error)


def _kind(earlier: Amount, later: Amount, decisive: float) -> Kind:
    if not earlier.total:
        return Kind.NEW
    if not later.total:
        return Kind.GONE
    return Kind.MORE if decisive > 0 else Kind.LESS
