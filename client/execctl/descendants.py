"""Process trees: the options for them, and the lists in which a root's session stands for those below it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import click

from execctl.archive import MOST_LISTED

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
    every = client.sessions(with_ended=True, limit=_LOOKED_AT)
    own = [one for one in every if (one.group, one.collector) == (session.group, session.collector)]
    empty = sum(not one.latest_profile for one in own)
    count = f"{len(own)} process{'' if len(own) == 1 else 'es'}"
    return f"{session.id} ({session.collector}, {count}{f', of {empty} of them nothing' if empty else ''})"


def with_children(specs: Sequence[SessionSpec], *, children: bool) -> list[SessionSpec]:
    """Return specs of sessions that stand for a whole tree, or not."""
    return [replace(spec, children=children) for spec in specs]
