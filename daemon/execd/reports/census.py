"""The reports of a census: the live objects of each type, and what became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from execd.model.census import Tally, census_changes, tallies
from execd.reports.document import head
from execd.reports.escape import valid, visible
from execd.reports.memory.options import refuse_orders
from execd.reports.memory.text import size_text
from execd.reports.names import span
from execd.reports.selection import limited
from execd.reports.text import origin

if TYPE_CHECKING:
    from execd.model.census import TallyChange
    from execd.model.profile import Header, Profile
    from execd.reports.options import ReportOptions

_DEFAULT_LIMIT = "25"
_HEAD = f"{'objects':>12}{'size':>14}  type"
_CHANGE_HEAD = f"{'change':<8}{'objects':>12}{'size':>14}  type"


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the census as UTF-8 text. Raises UsageError where an option does not fit."""
    _refuse_others(options)
    found = tallies(profile)
    shown = limited(found, _name, options.limits or (_DEFAULT_LIMIT,))
    lines = [*origin(profile.header), "", _HEAD, *map(_row, shown)]
    other = len(found) - len(shown)
    lines += [f"{other} other types"] if other else []
    total = Tally("in all", sum(one.count for one in found), sum(one.size for one in found))
    return "\n".join([*lines, _row(total), *_referrers(profile.header), ""]).encode()


def compare(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return what became of each type, the largest change first. Raises UsageError where an option does not fit."""
    _refuse_others(options)
    found = census_changes(earlier, later)
    shown = limited(found, _name, options.limits or (_DEFAULT_LIMIT,))
    which = f"profile {visible(earlier.header.profile)}, " if earlier.header.profile else ""
    lines = [*origin(later.header), f"Compared with: {which}{span(earlier.header)}", ""]
    lines += [_CHANGE_HEAD, *map(_change_row, shown)] if shown else ["nothing changed"]
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


def _row(one: Tally) -> str:
    return f"{one.count:>12}{size_text(one.size):>14}  {visible(one.name)}"


def _change_row(one: TallyChange) -> str:
    size = size_text(one.size_delta, signed=True)
    return f"{one.change.value:<8}{one.count_delta:>+12}{size:>14}  {visible(one.name)}"


def _referrers(header: Header) -> list[str]:
    named, lines = header.extra.get("referrers_of"), header.extra.get("referrers")
    if not isinstance(named, str) or not named or not isinstance(lines, list):
        return []
    return ["", f"Objects that refer to one of type {visible(named)}:", *(f"  {visible(str(line))}" for line in lines)]
