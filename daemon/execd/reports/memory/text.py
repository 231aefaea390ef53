"""The text report of a memory profile: the "pretty top" of tracemalloc, or its statistics as it prints them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from execd.model.memory.blocks import BlockFilter
from execd.model.memory.statistics import By, statistics
from execd.reports.escape import visible
from execd.reports.figures import part, percent, size_text
from execd.reports.header import header_lines
from execd.reports.layout import CYAN
from execd.reports.lines.source_lines import SourceLines
from execd.reports.memory.options import chosen_blocks, memory_options, unfitting
from execd.reports.next_commands import closing, report_of
from execd.reports.selection import limited
from execd.reports.tables import Column, Kind, Row, table_lines

if TYPE_CHECKING:
    from execd.model.memory.blocks import Frame
    from execd.model.memory.statistics import Place, Statistic
    from execd.model.profile import Header, Profile
    from execd.reports.header import Fact
    from execd.reports.layout import Layout
    from execd.reports.memory.options import MemoryOptions
    from execd.reports.options import ReportOptions

_KIB = 1024
_DEFAULT_LIMIT = "10"
# What the summary of the documentation of tracemalloc leaves out.
_UNTOLD = (BlockFilter(False, "<frozen importlib._bootstrap>"), BlockFilter(False, "<unknown>"))


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text.

    Raises:
        UsageError: a setting or a limit does not fit.
    """
    asked = memory_options(options)
    facts = [*process_facts(profile.header), *unfitting(profile, options, asked)]
    if asked.by is None and not asked.cumulative:
        asked = replace(asked, filters=(*asked.filters, *_UNTOLD))
    found = statistics(chosen_blocks(profile, options, asked), asked.group, cumulative=asked.cumulative)
    limits = options.limits or (_DEFAULT_LIMIT,)
    shown = limited(found, place_text, limits)
    sources = SourceLines(profile, options)
    lines = header_lines(profile.header, options.layout, facts)
    if asked.by is None and not asked.cumulative:
        lines += (
            [f"Top {limits[-1] if limits[-1].isdigit() else len(shown)} lines"] if options.layout.has_header else []
        )
        lines += _top(found, shown, sources, options.layout)
    else:
        for one in shown:
            lines += statistic_lines(one, asked, sources)
    lines += _rest(found, shown)
    lines += closing(options.layout, "" if asked.by is By.TRACEBACK else report_of(profile.header, "--by traceback"))
    return "\n".join([*lines, ""]).encode()


def process_facts(header: Header) -> list[Fact]:
    """Return what the process takes, and what share of that the traced blocks explain."""
    facts = {name: value for name, value in header.extra.items() if isinstance(value, int)}
    if "traced_bytes" not in facts:
        return []
    traced, peak, overhead = (facts.get(name, 0) for name in ("traced_bytes", "peak_bytes", "tracemalloc_bytes"))
    own = facts.get("own_bytes", 0)
    told = (
        f"{size_text(traced)}, peak {size_text(peak)}, of it execd's own {size_text(own)}; "
        f"tracemalloc's tables {size_text(overhead)}; {facts.get('traceback_limit', 0)} frames a traceback"
    )
    found = [("Traced", told)]
    if facts.get("rss_bytes"):
        memory = ", ".join(f"{name.upper()} {size_text(facts.get(f'{name}_bytes', 0))}" for name in ("rss", "pss"))
        share = (traced - own) / facts["rss_bytes"]
        swap = size_text(facts.get("swap_bytes", 0))
        found.append(("Memory", f"{memory}, swap {swap}; traced: {share:.0%} of RSS"))
    return found


def statistic_lines(one: Statistic, asked: MemoryOptions, sources: SourceLines) -> list[str]:
    """Return a statistic as str() of tracemalloc's has it, and its traceback below where that is asked for."""
    line = f"{place_text(one)}: size={size_text(one.size)}, count={one.count}"
    if one.count:
        line += f", average={size_text(one.size / one.count)}"
    return [line, *traceback_lines(one.place, asked, sources)] if asked.by is By.TRACEBACK else [line]


def traceback_lines(place: Place, asked: MemoryOptions, sources: SourceLines) -> list[str]:
    """Return a traceback as Traceback.format of tracemalloc has it, by its documentation where the two differ."""
    frames = list(place)
    if asked.frames is not None:
        frames = frames[max(len(frames) - asked.frames, 0) :] if asked.frames >= 0 else frames[: -asked.frames]
    if asked.most_recent_first:
        frames.reverse()
    lines = []
    for file, line in frames:
        lines.append(f'  File "{visible(file)}", line {line}')
        lines += [f"    {text}" for text in (sources.text(file, line),) if text]
    return lines


def place_text(one: Statistic) -> str:
    """Return the frame that stands for a place: the oldest one, as tracemalloc has it."""
    return frame_text(one.place[0])


def frame_text(frame: Frame) -> str:
    """Return a frame, safe to show."""
    file, line = frame
    return f"{visible(file)}:{line}"


def _top(found: list[Statistic], shown: list[Statistic], sources: SourceLines, layout: Layout) -> list[str]:
    """Return the table of the lines that have most, each with its source below."""
    whole = sum(one.size for one in found)
    rows = []
    for one in shown:
        file, line = one.place[0]
        share = part(one.size, whole)
        average = size_text(one.size / one.count) if one.count else ""
        figures = (size_text(one.size), percent(share), layout.bar(share), f"{one.count:,}", average)
        place = f"{visible('/'.join(file.split('/')[-2:]))}:{line}"
        rows.append(Row((*figures, place), tuple(text for text in (sources.text(file, line),) if text)))
    columns = [Column("size"), Column("%"), Column("", Kind.WORD, CYAN), Column("blocks"), Column("average")]
    return table_lines([*columns, Column("line", Kind.PLACE)], rows, layout)


def _rest(found: list[Statistic], shown: list[Statistic]) -> list[str]:
    size, shown_size = sum(one.size for one in found), sum(one.size for one in shown)
    other = len(found) - len(shown)
    lines = [f"{other:,} other: {(size - shown_size) / _KIB:.1f} KiB"] if other else []
    return [*lines, f"Total allocated size: {size / _KIB:.1f} KiB"]
