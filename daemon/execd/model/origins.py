"""Where a merged profile comes from: the header of a sum, and what it is the sum of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from execd.model.profile import IMPORTED, Header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# In Header.extra of a merged profile: what it is the sum of, a JSON object with the fields ORIGIN each.
MERGED = "merged"
ORIGIN = ("profile", "session", "pid", "command_line", "python_version", "form", "started_at", "ended_at")
# How many more there are than it names.
EARLIER = "earlier_origins"
# Where modules were looked for: what any of several has is kept.
_SEARCH_PATH = "search_path"
_TRACEBACK_LIMIT = "traceback_limit"
# Of a PID and of seconds since the epoch.
_MOST = 1 << 33


def merged_header(headers: Sequence[Header]) -> Header:
    """Return the header of a sum: spans, losses and caveats add up, what differs is left out.

    Args:
        headers: at least one, of one collector; of one alone the result tells of no sum.
    """
    first = headers[0]
    lost: Counter[str] = Counter()
    for header in headers:
        lost.update(header.lost)
    # What was imported has no span, but the time of its import.
    spans = [header for header in headers if header.form != IMPORTED] or headers
    return Header(
        collector=first.collector,
        form=_joined(header.form for header in headers),
        session=first.session if len({header.session for header in headers}) == 1 else "",
        pid=first.pid if len({header.pid for header in headers}) == 1 else 0,
        command_line=first.command_line if len({header.command_line for header in headers}) == 1 else (),
        python_version=_joined(header.python_version for header in headers),
        started_at=min(header.started_at for header in spans),
        ended_at=max(header.ended_at for header in spans),
        options=_options([header.options for header in headers]),
        lost=dict(lost),
        caveats=_caveats(headers),
        extra=_extra(headers),
    )


def origins_of(header: Header) -> list[Header]:
    """Return what a profile is the sum of, each with the fields ORIGIN alone; of one that is no sum, nothing."""
    found = header.extra.get(MERGED)
    return [_origin(header.collector, one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def recorded_s(header: Header) -> float | None:
    """Return for how many seconds a profile was recorded, of a sum those in which any part of it was.

    None where that is not known: of what came out of a file, of a sum with such a part, and of one that does not name
    all its parts.
    """
    parts = origins_of(header) or [header]
    if earlier_in(header) or any(IMPORTED in part.form for part in parts):
        return None
    seconds = ended_at = 0.0
    for part in sorted(parts, key=lambda one: one.started_at):
        seconds += max(part.ended_at - max(part.started_at, ended_at), 0.0)
        ended_at = max(ended_at, part.ended_at)
    return seconds


def name_of(header: Header) -> str:
    """Return how a message calls a profile: by its id, its session or its program."""
    return header.profile or header.session or " ".join(header.command_line) or "a profile"


def earlier_in(header: Header) -> int:
    """Return how many sessions are in a sum that it does not name."""
    found = header.extra.get(EARLIER)
    return found if isinstance(found, int) and 0 < found < _MOST else 0


def with_earlier(caveats: Iterable[str], count: int) -> tuple[str, ...]:
    """Return the caveats of a sum with one that tells how many it does not name, in place of any such."""
    if not count:
        return tuple(caveats)
    return (*(one for one in caveats if not one.endswith(_and_earlier(""))), _and_earlier(str(count)))


def _and_earlier(count: str) -> str:
    return f"{count} sessions that were added earlier are in the sum too"


def _caveats(headers: Sequence[Header]) -> tuple[str, ...]:
    told = dict.fromkeys([*(caveat for one in headers for caveat in one.caveats), *_twice(headers)])
    return with_earlier(told, sum(map(earlier_in, headers)))


def _extra(headers: Sequence[Header]) -> dict[str, object]:
    extras = [header.extra for header in headers]
    if len(headers) == 1:
        return dict(extras[0])
    # What a process had then is no figure of a sum.
    kept = {key: value for key, value in _equal(extras).items() if not isinstance(value, int | float)}
    limits = [limit for extra in extras if isinstance(limit := extra.get(_TRACEBACK_LIMIT), int)]
    if limits:
        kept[_TRACEBACK_LIMIT] = max(limits)
    paths = [path for extra in extras if isinstance(path := extra.get(_SEARCH_PATH), list)]
    if paths:
        kept[_SEARCH_PATH] = list(dict.fromkeys(folder for path in paths for folder in path))
    earlier = sum(map(earlier_in, headers))
    if earlier:
        kept[EARLIER] = earlier
    return {**kept, MERGED: [one for header in headers for one in _parts(header)]}


def _parts(header: Header) -> list[object]:
    """Return what a profile brings into a sum: itself, or what it is the sum of."""
    found = header.extra.get(MERGED)
    if isinstance(found, list):
        return found
    values = {name: getattr(header, name) for name in ORIGIN}
    return [{**values, "command_line": list(header.command_line)}]


def _origin(collector: str, fields: Mapping[str, object]) -> Header:
    def text(name: str) -> str:
        value = fields.get(name)
        return value if isinstance(value, str) else ""

    def number(name: str) -> float:
        value = fields.get(name)
        return value if isinstance(value, int | float) and 0 <= value < _MOST else 0

    command_line = fields.get("command_line")
    return Header(
        collector=collector,
        form=text("form"),
        session=text("session"),
        pid=int(number("pid")),
        command_line=tuple(map(str, command_line)) if isinstance(command_line, list) else (),
        python_version=text("python_version"),
        started_at=number("started_at"),
        ended_at=number("ended_at"),
        profile=text("profile"),
    )


def _options(options: Sequence[Mapping[str, object]]) -> dict[str, object]:
    kept = _equal(options)
    if any(one.get("subcalls") is False for one in options):
        # The callers of some calls are not known: shown, they would be taken for those of all.
        kept["subcalls"] = False
    return kept


def _equal(tables: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {key: value for key, value in tables[0].items() if all(one.get(key) == value for one in tables[1:])}


def _twice(headers: Sequence[Header]) -> list[str]:
    """Return a caveat for each session that several are of, for a later profile of it has what an earlier one has."""
    sessions = Counter(session for header in headers for session in _sessions(header))
    return [
        f"{count} of these are of session {one}: what they share counts twice"
        for one, count in sessions.items()
        if count > 1
    ]


def _sessions(header: Header) -> set[str]:
    """Return the sessions that a profile has figures of. A sum has told of those that it has twice itself."""
    if not isinstance(header.extra.get(MERGED), list):
        return {header.session} - {""}
    return {one.session for one in origins_of(header)} - {""}


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(sorted({text for text in texts if text}))
