"""The text report of a memory profile: the "pretty top" of tracemalloc, or its statistics as it prints them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from execd.model.memory.blocks import BlockFilter
from execd.model.memory.statistics import By, statistics
from execd.reports.escape import visible
from execd.reports.lines.source_lines import SourceLines
from execd.reports.memory.options import chosen_blocks, memory_options
from execd.reports.selection import limited
from execd.reports.text import origin

if TYPE_CHECKING:
    from execd.model.memory.blocks import Frame
    from execd.model.memory.statistics import Place, Statistic
    from execd.model.profile import Header, Profile
    from execd.reports.memory.options import MemoryOptions
    from execd.reports.options import ReportOptions

_KIB = 1024
_DEFAULT_LIMIT = "10"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_ONE_DECIMAL, _UNIT = 100, 10 * 1024
# What the summary of the documentation of tracemalloc leaves out.
_UNTOLD = (BlockFilter(False, "<frozen importlib._bootstrap>"), BlockFilter(False, "<unknown>"))


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text.

    Raises:
        UsageError: a setting or a limit does not fit.
    """
    asked = memory_options(options)
    if asked.by is None and not asked.cumulative:
        asked = replace(asked, filters=(*asked.filters, *_UNTOLD))
    found = statistics(chosen_blocks(profile, options, asked), asked.group, cumulative=asked.cumulative)
    limits = options.limits or (_DEFAULT_LIMIT,)
    shown = limited(found, place_text, limits)
    sources = SourceLines(profile, options)
    lines = [*origin(profile.header), *process_lines(profile.header), ""]
    if asked.by is None and not asked.cumulative:
        lines += _top(shown, sources, limits[-1] if limits[-1].isdigit() else str(len(shown)))
    else:
        for one in shown:
            lines += statistic_lines(one, asked, sources)
    lines += _rest(found, shown)
    return "\n".join([*lines, ""]).encode()


def process_lines(header: Header) -> list[str]:
    """Return what the process takes, and what share of that the traced blocks explain."""
    facts = {name: value for name, value in header.extra.items() if isinstance(value, int)}
    if "traced_bytes" not in facts:
        return []
    traced, peak, overhead = (facts.get(name, 0) for name in ("traced_bytes", "peak_bytes", "tracemalloc_bytes"))
    own = facts.get("own_bytes", 0)
    lines = [
        f"Traced: {size_text(traced)}, peak {size_text(peak)}, of it execd's own {size_text(own)}; "
        f"tracemalloc's tables {size_text(overhead)}; {facts.get('traceback_limit', 0)} frames a traceback"
    ]
    if facts.get("rss_bytes"):
        memory = ", ".join(f"{name.upper()} {size_text(facts.get(f'{name}_bytes', 0))}" for name in ("rss", "pss"))
        share = (traced - own) / facts["rss_bytes"]
        lines.append(f"Memory: {memory}, swap {size_text(facts.get('swap_bytes', 0))}; traced: {share:.0%} of RSS")
    return lines


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


def size_text(size: float, *, signed: bool = False) -> str:
    """Return a size with its unit: at most five digits, one decimal below a hundred."""
    sign = "+" if signed else ""
    for unit in _UNITS[:-1]:
        if abs(size) < _ONE_DECIMAL and unit != "B":
            return f"{size:{sign}.1f} {unit}"
        if abs(size) < _UNIT:
            return f"{size:{sign}.0f} {unit}"
        size /= _KIB
    return f"{size:{sign}.{1 if abs(size) < _ONE_DECIMAL else 0}f} {_UNITS[-1]}"


def _top(shown: list[Statistic], sources: SourceLines, asked: str) -> list[str]:
    lines = [f"Top {asked} lines"]
    for rank, one in enumerate(shown, 1):
        file, line = one.place[0]
        short = "/".join(file.split("/")[-2:])
        lines.append(f"#{rank}: {visible(short)}:{line}: {one.size / _KIB:.1f} KiB")
        lines += [f"    {text}" for text in (sources.text(file, line),) if text]
    return lines


def _rest(found: list[Statistic], shown: list[Statistic]) -> list[str]:
    size, shown_size = sum(one.size for one in found), sum(one.size for one in shown)
    other = len(found) - len(shown)
    lines = [f"{other} other: {(size - shown_size) / _KIB:.1f} KiB"] if other else []
    return [*lines, f"Total allocated size: {size / _KIB:.1f} KiB"]
