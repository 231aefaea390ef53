"""A tree of processes that is reported as one: its root, and what each of the processes has of the whole."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from execd.model.collector import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.profile import Header, Profile
    from execd.model.session import Session

# Caveats that differ in them alone say the same of several processes.
_NUMBER = re.compile(r"[0-9][0-9.,:]*")
# Of samples: an agent's tree hears of each fork.
_NOT_MET: Final = "descendants are looked for once a second: those that live shorter may be missing"


@dataclass(frozen=True, slots=True)
class TreeProcess:
    """A process of a tree, as a report tells of it.

    Attributes:
        header: of its own profile.
        figures: what it has of the whole, by name; the first is what the processes are ordered by.
    """

    header: Header
    figures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A tree.

    Attributes:
        session: of its root, which stands for those of all, "s12".
        pid, command_line, python_version: of its root.
        count: how many of its processes are in the profile.
        snapshot: the root's profile of the time that this is of, "p34"; "" where it is of the newest of each.
        processes: these, with their figures; () until they are worked out.
    """

    session: str
    pid: int
    command_line: tuple[str, ...]
    python_version: str
    count: int
    processes: tuple[TreeProcess, ...] = ()
    snapshot: str = ""


def of_tree(
    profile: Profile, root: Session, parts: Sequence[Profile], missing: int, left_out: int = 0, snapshot: str = ""
) -> Profile:
    """Return the sum of a tree's processes as one that tells of what tree it is.

    Args:
        profile: the sum.
        root: the session of the tree's root.
        parts: what it is the sum of.
        missing: of how many processes more nothing is stored.
        left_out: how many more there are.
        snapshot: as in ProcessTree.
    """
    target = root.target
    tree = ProcessTree(
        root.id, target.key.pid, target.command_line, target.python_version, len(parts), snapshot=snapshot
    )
    caveats = _caveats(profile.header, [part.header for part in parts])
    if profile.header.collector == SAMPLES.name:
        caveats = (_NOT_MET, *caveats)
    if missing:
        caveats = (_without_anything(missing), *caveats)
    if left_out:
        caveats = (f"{left_out} processes that came earlier are not in the sum: it takes {len(parts)}", *caveats)
    header = replace(profile.header, profile=snapshot or profile.header.profile, caveats=caveats, tree=tree)
    return replace(profile, header=header)


def _without_anything(missing: int) -> str:
    of = "one of its processes" if missing == 1 else f"{missing} of its processes"
    them = "it" if missing == 1 else "them"
    return (
        f"{of} had ended before anything of {them} was stored: at once, or by a signal, by which the `with` block of a"
        " multiprocessing.Pool ends its workers too; close() and join() let them end by themselves"
    )


def _caveats(whole: Header, parts: Sequence[Header]) -> tuple[str, ...]:
    """Return what is to be known of a sum, once where several processes say it, with how many they are."""
    told: defaultdict[str, list[tuple[Header, str]]] = defaultdict(list)
    for part in parts:
        for caveat in dict.fromkeys(part.caveats):
            told[_NUMBER.sub("#", caveat)].append((part, caveat))
    known = {caveat for part in parts for caveat in part.caveats}
    own = (caveat for caveat in whole.caveats if caveat not in known)
    return (*own, *(_joined(said, len(parts)) for said in told.values()))


def _joined(said: Sequence[tuple[Header, str]], count: int) -> str:
    (part, caveat), *others = said
    if len(said) == count and all(other == caveat for _, other in others):
        return caveat
    if not others:
        return f"process {part.pid}: {caveat}"
    if all(other == caveat for _, other in others):
        return f"{len(said)} of the {count} processes: {caveat}"
    return f"process {part.pid}: {caveat} (and the like of {len(others)} others)"
