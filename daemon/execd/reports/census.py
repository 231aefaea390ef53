"""The reports of a census: the live objects of each type, and what became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from execd.model.census import census_changes, tallies
from execd.reports.comparison import compared_with
from execd.reports.document import head
from execd.reports.escape import valid, visible
from execd.reports.figures import part, percent, size_text
from execd.reports.header import header_lines
from execd.reports.layout import CYAN
from execd.reports.memory.options import refuse_orders
from execd.reports.next_commands import closing
from execd.reports.selection import limited
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from execd.model.census import Tally, TallyChange
    from execd.model.profile import Header, Profile
    from execd.reports.layout import Layout
    from execd.reports.options import ReportOptions

_DEFAULT_LIMIT = "25"
_TYPE = Column("type", Kind.NAME)
_COLUMNS = (Column("size"), Column("%"), Column("", Kind.WORD, CYAN), Column("objects"), _TYPE)
_CHANGE_COLUMNS = (Column("change", Kind.WORD), Column("+size"), Column("+objects"), _TYPE)


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the census as UTF-8 text. Raises UsageError where an option does not fit."""
    _refuse_others(options)
    found = tallies(profile)
    shown = limited(found, _name, options.limits or (_DEFAULT_LIMIT,))
    whole = sum(one.size for one in found)
    rows = [_row(one, whole, options.layout) for one in shown]
    other = len(found) - len(shown)
    kept = sum(one.count for one in found) - sum(one.count for one in shown)
    left = whole - sum(one.size for one in shown)
    lines = [*header_lines(profile.header, options.layout), *table_lines(_COLUMNS, rows, options.layout)]
    lines += [f"{other:,} other types: {size_text(left)}, {kept:,} objects"] if other else []
    lines.append(f"in all: {size_text(whole)}, {sum(one.count for one in found):,} objects")
    lines += [*_referrers(profile.header), *closing(options.layout, _later(profile.header))]
    return "\n".join([*lines, ""]).encode()


def compare(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return what became of each type, the largest change first. Raises UsageError where an option does not fit."""
    _refuse_others(options)
    found = census_changes(earlier, later)
    shown = limited(found, _name, options.limits or (_DEFAULT_LIMIT,))
    lines = header_lines(later.header, options.layout, [compared_with(earlier.header)])
    rows = list(map(_change_row, shown))
    lines += table_lines(_CHANGE_COLUMNS, rows, options.layout) if rows else ["nothing changed"]
    lines += [f"{len(found) - len(shown):,} other types changed"] if len(found) > len(shown) else []
    return "\n".join([*lines, ""]).encode()


def document(profile: Profile, options: ReportOptions) -> bytes:
    """Return the census as JSON: schema, report "census", profile, types (type, count, size)."""
    _refuse_others(options)
    found = limited(tallies(profile), _name, options.limits)
    rows = [{"type": valid(one.name), "count": one.count, "size": one.size} for one in found]
    return json.dumps({**head("census", profile.header), "types": rows}).encode()


def document_of_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return what became of each type as JSON: as above, and earlier, change, count_delta, size_delta."""
    _refuse_others(options)
    rows = [
        {
            "type": valid(one.name),
            "change": one.change.value,
            "count": one.count,
            "count_delta": one.count_delta,
            "size": one.size,
            "size_delta": one.size_delta,
        }
        for one in limited(census_changes(earlier, later), _name, options.limits)
    ]
    return json.dumps({**head("census", later.header, earlier.header), "types": rows}).encode()


def _refuse_others(options: ReportOptions) -> None:
    refuse_orders(options, "choose types by --limit")


def _name(one: Tally | TallyChange) -> str:
    return one.name


def _row(one: Tally, whole: int, layout: Layout) -> Row:
    share = part(one.size, whole)
    return Row((size_text(one.size), percent(share), layout.bar(share), f"{one.count:,}", visible(one.name)))


def _change_row(one: TallyChange) -> Row:
    size = size_text(one.size_delta, signed=True)
    return Row((one.change.value, size, f"{one.count_delta:+,}", visible(one.name)))


def _later(header: Header) -> str:
    """Return the command for what becomes of these objects, "" where no process is known."""
    return f"execctl snapshot {header.pid} --by type --compare" if header.pid and header.profile else ""


def _referrers(header: Header) -> list[str]:
    named, lines = header.extra.get("referrers_of"), header.extra.get("referrers")
    if not isinstance(named, str) or not named or not isinstance(lines, list):
        return []
    return ["", f"Objects that refer to one of type {visible(named)}:", *(f"  {visible(str(line))}" for line in lines)]
