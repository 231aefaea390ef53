"""Two profiles of samples compared: by how many points the share of each place differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from execd.model.samples import amounts, fold, measures
from execd.model.shares import came_after, share_changes
from execd.model.views import View, states_of, usual_view, without_system_calls
from execd.reports.comparison import compared_with
from execd.reports.document import encoded, head
from execd.reports.figures import part, percent
from execd.reports.header import header_lines, summary_lines
from execd.reports.samples.asked import asked_by, seen
from execd.reports.samples.document import place_json
from execd.reports.samples.names import CLOCKS, VIEWS, PlaceNames, sample_name
from execd.reports.samples.order import OWN, TOTAL, sort_key
from execd.reports.samples.recorded import recording_facts
from execd.reports.samples.tables import is_roomy
from execd.reports.samples.text import states_text
from execd.reports.selection import ROWS_SHOWN, limited, top
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execd.model.fold import FunctionKey
    from execd.model.profile import Header, Profile
    from execd.model.samples import Amount, By
    from execd.model.shares import ShareChange
    from execd.reports.options import ReportOptions
    from execd.reports.samples.asked import Seen


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two profiles as they are compared.

    Attributes:
        earlier, later: their samples.
        header: of the later one; it begins where the earlier one ends where it goes on.
        measures: what is compared of each.
        sizes: the sum of it.
        changes: what differs.
        by: what is put together.
    """

    earlier: Seen
    later: Seen
    header: Header
    measures: tuple[str, str]
    sizes: tuple[int, int]
    changes: Mapping[FunctionKey, ShareChange]
    by: By


def render(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as UTF-8 text. Raises UsageError where an option does not fit."""
    found = _compared(earlier, later, options)
    of_one = (
        ", of one session: this is what came after it" if found.header.started_at != later.header.started_at else ""
    )
    facts = [*recording_facts(later), compared_with(earlier.header, f"in points of 100%{of_one}")]
    lines = header_lines(found.header, options.layout, facts)
    lines += summary_lines(_summary(found), options.layout)
    kept, rest = top(_chosen(found.changes, options), options, ROWS_SHOWN)
    lines += _table(found, kept, options) if kept else [f"   (no {found.by.value}s)"]
    return "\n".join([*lines, *rest, ""]).encode()


def render_json(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as JSON; see document.py. Raises UsageError where an option does not fit."""
    found = _compared(earlier, later, options)
    document: dict[str, Any] = head("samples", found.header, earlier.header)
    document["view"] = found.later.view.value if found.later.view else ""
    document["by"] = found.by.value
    document["measure"] = dict(zip(("earlier", "later"), found.measures, strict=True))
    document["totals"] = dict(zip(("earlier", "later"), found.sizes, strict=True))
    document["states"] = {"earlier": states_of(found.earlier.whole), "later": states_of(found.later.whole)}
    document["changes"] = [_change_json(found, found.changes[one]) for one in _chosen(found.changes, options)]
    return encoded(document)


def _compared(earlier: Profile, later: Profile, options: ReportOptions) -> _Compared:
    by, more = asked_by(options), came_after(earlier, later)
    after = later if more is None else more
    # By what ran where anything did in either: two views would compare nothing.
    usual = {usual_view(one) for one in (earlier, after)}
    view = View.CPU if View.CPU in usual else View.WALL
    both = [seen(one, options, view if usual_view(one) else None) for one in (earlier, after)]
    profiles = [without_system_calls(one.profile) for one in both]
    names = ["samples" if one.view else measures(one.profile)[0] for one in both]
    then, now = (amounts(fold(one, by), name) for one, name in zip(profiles, names, strict=True))
    sizes = (_size(then), _size(now))
    return _Compared(both[0], both[1], after.header, (names[0], names[1]), sizes, share_changes(then, now), by)


def _size(amounts: Mapping[FunctionKey, Amount]) -> int:
    return sum(one.own for one in amounts.values())


def _summary(found: _Compared) -> list[str]:
    view = found.later.view
    sizes = [
        f"{size:,} {CLOCKS[name] + ' ns' if name in CLOCKS else name}"
        for size, name in zip(found.sizes, found.measures, strict=True)
    ]
    kinds = [change.kind.value for change in found.changes.values()]
    counts = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in ("new", "gone", "more", "less"))
    seen_as = f"View {view.value}, {VIEWS[view]}: " if view else ""
    lines = [f"{seen_as}{sizes[0]} then, {sizes[1]} now; {found.by.value}s: {counts}"]
    for name, one in (("Then", found.earlier), ("Now", found.later)):
        states = states_of(one.whole)
        lines += [f"{name}: {states_text(states)}"] if sum(states.values()) else []
    return lines


def _chosen(changes: Mapping[FunctionKey, ShareChange], options: ReportOptions) -> list[FunctionKey]:
    """Return the places in the order asked for: by the change, or by name."""
    key = sort_key(options, OWN[0])
    places = list(changes)
    if key == "name":
        places.sort(key=lambda one: (one[2], one))
    elif key in TOTAL:
        places.sort(key=lambda one: -abs(changes[one].total))
    return limited(places[::-1] if options.reverse else places, sample_name, options.limits)


def _table(found: _Compared, kept: Sequence[FunctionKey], options: ReportOptions) -> list[str]:
    before, after = found.sizes
    names, with_errors = PlaceNames([found.earlier.profile, found.later.profile], found.by), is_roomy(options.layout)
    rows = []
    for change in (found.changes[one] for one in kept):
        error = [f"{100 * change.error:.1f}"] if with_errors else []
        shares = percent(part(change.earlier.own, before)), percent(part(change.later.own, after))
        own, total = f"{100 * change.own:+.1f}", f"{100 * change.total:+.1f}"
        rows.append(Row((change.kind.value, own, *error, *shares, total, *names.cells(change.place))))
    plus_minus = [Column("+-" if options.layout.is_ascii else "±")] if with_errors else []
    figures = [Column("+self"), *plus_minus, Column("self then %"), Column("now %"), Column("+total")]
    return table_lines([Column("change", Kind.WORD), *figures, *names.columns()], rows, options.layout)


def _change_json(found: _Compared, change: ShareChange) -> dict[str, Any]:
    def amount(one: Amount, of: int) -> dict[str, float]:
        return {
            "self": one.own,
            "total": one.total,
            "self_share": part(one.own, of),
            "total_share": part(one.total, of),
        }

    before, after = found.sizes
    return {
        "kind": change.kind.value,
        **place_json(change.place),
        "earlier": amount(change.earlier, before),
        "later": amount(change.later, after),
        "delta": {"self_share": change.own, "total_share": change.total, "self_error": change.error},
    }
