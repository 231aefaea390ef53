"""Process trees: the options for them, and the lists in which a root's session stands for those below it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import click

from execctl.archive import MOST_LISTED
from execctl.silence import has_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from execctl.api.session import Session
    from execctl.client import Client
    from execctl.query import SessionSpec

_Row = TypeVar("_Row")
# More than a tree has at once.
_LOOKED_AT = 1000
# Where what is folded takes the place of what is shown, so many times as much is asked for.
_FURTHER = 4
# They are come to one after the other, some 20 ms each: where none has come for so long there is none left.
_SETTLED_S, _MOST_S, _LOOK_S = 0.3, 2.0, 0.05
_GOING_ON = ("starting", "running", "stopping")

children_option = click.option(
    "--children",
    is_flag=True,
    help="Record its descendants too, those that it has and those that come later: one report of all.",
)

process_option = click.option(
    "--process",
    type=click.IntRange(1, 1 << 31),
    default=None,
    metavar="PID",
    callback=lambda _context, _parameter, pid: pid or 0,
    help="What --children recorded: only this process.",
)


unfolded_option = click.option(
    "--children", "is_unfolded", is_flag=True, help="Of process trees each process, and not the root's session alone."
)


class Trees:
    """Which of some sessions stand for others: those of a tree's root for those of its descendants.

    Args:
        sessions: what is known of.
    """

    def __init__(self, sessions: Iterable[Session]) -> None:
        known = list(sessions)
        roots = {(one.group, one.collector): one.id for one in known if one.children}
        self._roots = {
            one.id: roots[one.group, one.collector]
            for one in known
            if not one.children and (one.group, one.collector) in roots
        }
        self._below = Counter(self._roots.values())

    def has(self, session: str) -> bool:
        """Whether another one stands for a session."""
        return session in self._roots

    def root(self, session: str) -> str:
        """Return the session that stands for one, itself where no other does."""
        return self._roots.get(session, session)

    def below(self, session: str) -> int:
        """Return for how many others a session stands."""
        return self._below[session]

    def name(self, session: str) -> str:
        """Return how a table calls a session: `s1 (+8)` where it stands for eight others."""
        below = self.below(session)
        return f"{session} (+{below})" if below else session


def trees(client: Client, *, with_ended: bool = True) -> Trees:
    """Return the trees among the newest sessions that a daemon knows."""
    return Trees(client.sessions(with_ended=with_ended, limit=_LOOKED_AT))


def stored_trees(client: Client) -> Trees:
    """Return those of whose root something is stored."""
    known = client.sessions(with_ended=True, limit=_LOOKED_AT)
    return Trees(one for one in known if one.latest_profile or not one.children)


def newest(
    ask: Callable[[int], list[_Row]],
    folded: Callable[[list[_Row]], list[_Row]],
    limit: int,
    first: list[_Row] | None = None,
) -> list[_Row]:
    """Return the newest rows that are shown, at most so many, however many others are between them.

    Args:
        ask: returns the newest of all, at most as many as it is given.
        folded: returns those of some that are shown.
        limit: how many are wanted.
        first: what was returned for the limit, where that was asked for before.
    """
    asked = limit
    rows = ask(asked) if first is None else first
    while True:
        shown = folded(rows)
        if len(shown) >= limit or len(rows) < asked or asked >= MOST_LISTED:
            return shown[:limit]
        asked = min(asked * _FURTHER, MOST_LISTED)
        rows = ask(asked)


def recorded(client: Client, session: Session) -> str:
    """Return what a session has recorded, for a sentence: `s1 (calls)`, of a tree `s1 (calls, 9 processes)`."""
    if not session.children:
        return f"{session.id} ({session.collector})"
    own = _settled(client, session)
    # One that has executed another program has a session for each.
    pids = {one.pid for one in own}
    going_on = {one.pid for one in own if one.state in _GOING_ON}
    empty = pids - going_on - {one.pid for one in own if one.latest_profile}
    count = f"{len(pids)} process{'' if len(pids) == 1 else 'es'}"
    notes = [f"of {len(empty)} of them nothing"] * bool(empty) + [f"{len(going_on)} not over yet"] * bool(going_on)
    return f"{session.id} ({', '.join((session.collector, count, *notes))})"


def _settled(client: Client, root: Session) -> list[Session]:
    """Return the sessions of a tree, none of them of a process that has ended a while ago.

    The daemon sees the end of a descendant soon after it, and not at once. Waits 2 s at most.
    """
    deadline = time.monotonic() + _MOST_S
    while True:
        every = client.sessions(with_ended=True, limit=_LOOKED_AT)
        own = [one for one in every if (one.group, one.collector) == (root.group, root.collector)]
        late = any(one.state in _GOING_ON and has_ended(one.pid) for one in own)
        if not late or time.monotonic() >= deadline:
            return own
        time.sleep(_LOOK_S)


def taken(client: Client, attached: Sequence[Session]) -> list[str]:
    """Return what is to be said of a tree that has just been attached to: how many of its processes are recorded.

    Waits until no more come, 2 s at most.

    Args:
        client: of the daemon.
        attached: the root's sessions, as they were when they began.
    """
    root = attached[0]
    began = since = time.monotonic()
    found: dict[str, Session] = {}
    while time.monotonic() < min(since + _SETTLED_S, began + _MOST_S):
        now = {one.id: one for one in client.sessions(limit=_LOOKED_AT) if one.group == root.group}
        since = time.monotonic() if len(now) > len(found) else since
        found = {**found, **now}
        time.sleep(_LOOK_S)
    below = len({one.pid for one in found.values()} - {root.pid})
    told = (
        f"process {root.pid} and {below} descendant{'' if below == 1 else 's'} are recorded, and those that come later"
    )
    if not below:
        told = f"process {root.pid} has no descendants that are recorded yet: those that come later will be"
    later = [caveat for one in attached for caveat in found.get(one.id, one).caveats if caveat not in one.caveats]
    return [told, *dict.fromkeys(later)]


def with_children(specs: Sequence[SessionSpec], *, children: bool) -> list[SessionSpec]:
    """Return specs of sessions that stand for a whole tree, or not."""
    return [replace(spec, children=children) for spec in specs]
