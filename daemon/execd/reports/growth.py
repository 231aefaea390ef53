"""The report on growth: what took more in each of several snapshots than in the one before.

The JSON form, schema 1, is an object in ASCII with these fields:

    schema      1
    report      "growth"
    profiles    the snapshots, the oldest first, as in the JSON report
    by          "filename", "lineno" or "traceback" of memory, "type" of a census
    grown       how many things grew, shown or not
    growth      each, the largest gain first: frames (the oldest first, each: file, line) or type; count and size
                (bytes) in each snapshot, two lists; count_delta and size_delta, of the latest over the first
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from execd.errors import UsageError
from execd.model.census import tallies
from execd.model.collector import CENSUS, MEMORY
from execd.model.growth import GROWING, Amount, growing, no_growth
from execd.model.memory.statistics import statistics
from execd.model.profile import IMPORTED
from execd.reports import check_settings
from execd.reports.document import encoded, origin_json
from execd.reports.escape import visible
from execd.reports.figures import size_text
from execd.reports.header import header_lines
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.next_commands import closing, is_plain, report_of
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from execd.model.growth import Growth
    from execd.model.memory.statistics import Place
    from execd.model.profile import Header, Profile
    from execd.reports.layout import Layout
    from execd.reports.options import ReportOptions

SCHEMA = 1


def render(profiles: Iterable[Profile], form: str, options: ReportOptions, limit: int) -> bytes:
    """Return what grew.

    Args:
        profiles: two or more of one collector, the oldest first; they are read one after the other.
        form: "text" or "json".
        options: their settings are used, those of the collector's own reports; "by" may be "type" for a census.
        limit: how many things to show at most; 0: all.

    Raises:
        UsageError: the form is another one, a setting does not fit, or profiles of their collector do not grow.
    """
    if form not in ("text", "json"):
        raise UsageError(f"growth has no format {form!r}", remedy="choose from: text, json", format=ascii(form))
    headers: list[Header] = []
    found = growing(_amounts(profiles, options, headers))
    shown = found[:limit] if limit else found
    by = str(options.settings.get("by", GROWING[headers[-1].collector][0]))
    if form == "json":
        return _json(headers, by, len(found), shown)
    return _text(headers, by, len(found), shown, options.layout)


def _amounts(
    profiles: Iterable[Profile], options: ReportOptions, headers: list[Header]
) -> Iterator[dict[Place, Amount]]:
    """Yield what is in each profile, and note its header."""
    for profile in profiles:
        headers.append(profile.header)
        match profile.header.collector:
            case MEMORY.name:
                yield _places(profile, options)
            case CENSUS.name:
                yield _types(profile, options)
            case other:
                raise no_growth(other)


def _places(profile: Profile, options: ReportOptions) -> dict[Place, Amount]:
    check_settings(profile.header.collector, options.settings)
    asked = memory_options(options)
    found = statistics(chosen_blocks(profile, options, asked), asked.group, cumulative=asked.cumulative)
    return {one.place: Amount(one.count, one.size) for one in found}


def _types(profile: Profile, options: ReportOptions) -> dict[Place, Amount]:
    unfitting = ", ".join(sorted(options.settings.keys() - {"by"})).replace("_", "-")
    if unfitting:
        raise UsageError(f"{unfitting} does not fit a census", remedy="leave it out, or choose --by lineno")
    return {((one.name, 0),): Amount(one.count, one.size) for one in tallies(profile)}


def _text(headers: Sequence[Header], by: str, grown: int, shown: Sequence[Growth], layout: Layout) -> bytes:
    latest = headers[-1]
    names = ", ".join(visible(header.profile) or "?" for header in headers)
    over = "" if latest.form == IMPORTED else f", over {latest.ended_at - headers[0].ended_at:.3f} s"
    facts = [
        ("Grew", f"what has more bytes in each of {len(headers)} snapshots than in the one before, by {by}"),
        ("Snapshots", f"{names}{over}"),
    ]
    lines = header_lines(latest, layout, facts)
    if not shown:
        return "\n".join([*lines, "   (nothing grew in every one)", ""]).encode()
    last = Column("type", Kind.NAME) if by == "type" else Column("where", Kind.PLACE)
    lines += table_lines([*map(Column, ("+size", "+count", "size", "count")), last], list(map(_row, shown)), layout)
    lines += [f"{grown - len(shown):,} more grew"] if grown > len(shown) else []
    lines += closing(layout, "" if by == "type" else _tracebacks(latest, shown))
    return "\n".join([*lines, ""]).encode()


def _row(growth: Growth) -> Row:
    gained, latest = growth.gained, growth.amounts[-1]
    *older, newest = growth.place
    figures = (size_text(gained.size, signed=True), f"{gained.count:+,}", size_text(latest.size), f"{latest.count:,}")
    # The newest frame on the line of the figures, those that called it below.
    return Row((*figures, _frame(*newest)), tuple(f"from {_frame(*one)}" for one in older[::-1]))


def _tracebacks(latest: Header, shown: Sequence[Growth]) -> str:
    """Return the command for where the blocks of the first place come from, "" where none can be named."""
    places = (growth.place[-1] for growth in shown)
    place = next((_frame(file, line) for file, line in places if is_plain(file)), "")
    return report_of(latest, f"--by traceback --include {place}") if place else ""


def _frame(file: str, line: int) -> str:
    return f"{visible(file)}:{line}" if line else visible(file)


def _json(headers: Sequence[Header], by: str, grown: int, shown: Sequence[Growth]) -> bytes:
    return encoded(
        {
            "schema": SCHEMA,
            "report": "growth",
            "profiles": [origin_json(header) for header in headers],
            "by": by,
            "grown": grown,
            "growth": [_record(growth, by) for growth in shown],
        }
    )


def _record(growth: Growth, by: str) -> dict[str, Any]:
    place: dict[str, Any] = (
        {"type": growth.place[-1][0]}
        if by == "type"
        else {"frames": [{"file": file, "line": line} for file, line in growth.place]}
    )
    return place | {
        "count": [amount.count for amount in growth.amounts],
        "size": [amount.size for amount in growth.amounts],
        "count_delta": growth.gained.count,
        "size_delta": growth.gained.size,
    }
