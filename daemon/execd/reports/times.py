"""What a report of calls says of its times: the clock, and what recording cost that was taken off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from execd.model import bias
from execd.model.overhead import switched_off_in
from execd.reports.escape import visible
from execd.reports.figures import part, percent, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from execd.model.fold import Figures
    from execd.model.profile import Header
    from execd.reports.figures import Unit
    from execd.reports.header import Fact

# While a thread has a profile function, its interpreter leaves the specialised instructions.
_SLOWER = "3.11."
_SLOWER_BYTECODE = "Python 3.11 runs bytecode 2 to 3 times slower while calls are recorded: not corrected"

# Of functions that were switched off; more are counted.
_MOST_SWITCHED_OFF = 10
# In a sentence.
_MOST_NAMED = 3

# A time of which nothing is left: it was there, and too short to tell from what recording took.
_ALL_TAKEN = "~0"

# How many times as much events cost as in a row of them; less is shown as 1.0.
_TOLD_FROM = 1.05


def time_facts(header: Header) -> list[Fact]:
    """Return the lines of a header that are about times, safe to show."""
    return [*_clock(header), *_correction(header), *_switched_off(header)]


def times_unit(unit: Unit, header: Header) -> Unit:
    """Return the unit for times of a profile: where recording was taken off, no time that is left is ~0."""
    return replace(unit, nothing=_ALL_TAKEN) if bias.correction_of(header) else unit


def all_taken_note(header: Header, shown: Iterable[Figures]) -> list[str]:
    """Return the sentence that says what ~0 is, where it is shown."""
    if bias.correction_of(header) is None or all(one.self_ns and one.total_ns for one in shown):
        return []
    return [f"{_ALL_TAKEN}: all of the time that was recorded is taken off as what recording took"]


def _clock(header: Header) -> list[Fact]:
    timer = header.options.get("timer")
    if isinstance(timer, str):
        unit = header.options.get("timeunit")
        of = f", {unit:g} s each" if isinstance(unit, int | float) else ""
        return [("Clock", f"the program's {visible(timer)}{of}, called at each event")]
    return [("Clock", "CPU time of each thread")] if header.options.get("clock") == "cpu" else []


def _switched_off(header: Header) -> list[Fact]:
    found = switched_off_in(header)
    facts = [
        (
            "Switched off",
            f"to keep the overhead below {one.limit * 100:g}%: "
            f"{visible(one.name)} ({visible(one.file)}:{one.first_line}), "
            f"{one.calls:,} calls, mean {time_text(one.mean_ns)}, after {one.after_s:.1f} s",
        )
        for one in found[:_MOST_SWITCHED_OFF]
    ]
    more = len(found) - len(facts)
    return [*facts, *([("Switched off", f"{more:,} more functions, which JSON has")] if more else [])]


def switched_off_told(header: Header) -> list[str]:
    """Return what a reader of another form than a report must know of the functions that were switched off."""
    found = switched_off_in(header)
    if not found:
        return []
    # The sum of several recordings may have different ones.
    limit = max(one.limit for one in found)
    names = ", ".join(f"{visible(one.name)} ({visible(one.file)}:{one.first_line})" for one in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
    functions = "1 function was" if len(found) == 1 else f"{len(found):,} functions were"
    told = f"{functions} switched off to keep the overhead below {limit * 100:g}%, and not recorded from then on"
    return [f"{told}: {names}{more}"]


def _correction(header: Header) -> list[Fact]:
    found = bias.correction_of(header)
    if found is None:
        return []
    left, share = found.recorded_ns - found.taken_ns, percent(part(found.taken_ns, found.recorded_ns))
    taken = f"{time_text(found.taken_ns)} that recording took is taken off the {time_text(found.recorded_ns)} recorded"
    dearer = f"; events cost {found.dearer:.1f} times as much as in a row of them"
    price = dearer if found.dearer >= _TOLD_FROM else ""
    facts = [("Times", f"{time_text(left)}: {taken} ({share}%){price}; --bias 0 shows them as recorded")]
    if found.whole_parts:
        of = "one of its parts" if found.whole_parts == 1 else f"{found.whole_parts} of its parts"
        facts.append(("Caveat", f"of {of} nothing is taken off: what an event cost there was not measured"))
    if header.python_version.startswith(_SLOWER):
        facts.append(("Caveat", _SLOWER_BYTECODE))
    return facts
