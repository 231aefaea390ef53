"""What stands above every text report: of what it is, what was lost, and what is to be known about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from execd.model.origins import origins_of
from execd.model.profile import IMPORTED
from execd.reports.escape import visible
from execd.reports.layout import BOLD, RED, YELLOW
from execd.reports.names import command_line, span
from execd.reports.process_table import process_lines
from execd.reports.widths import cut, width_of, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from execd.model.processtree import ProcessTree
    from execd.model.profile import Header
    from execd.reports.layout import Layout

# What a line is called by, and what it says, safe to show.
Fact: TypeAlias = tuple[str, str]

# Of the profiles of a sum.
_PARTS_SHOWN = 20
_INDENT = "  "
_PART_INDENT = "    "
_STYLES = {"Caveat": YELLOW, "Lost": RED}
_NOTHING_LOST: Fact = ("Lost", "nothing")
# Of a command line, however little is left beside what is known of its process.
_COMMAND_WIDTH = 20


def header_lines(header: Header, layout: Layout, facts: Sequence[Fact] = ()) -> list[str]:
    """Return the lines above a report, an empty one at their end; nothing where the layout has no header.

    Args:
        header: of the profile, of a comparison the later one.
        layout: of the report.
        facts: what is to be told beside, after what is known of every profile.
    """
    if not layout.has_header:
        return []
    caveats = [("Caveat", visible(one)) for one in header.caveats]
    if layout.is_part:
        told = [*(lost for lost in _losses(header) if lost != _NOTHING_LOST), *caveats, *facts]
        lines = [line for fact in told for line in _lines(fact, layout)]
        return [*lines, ""] if lines else []
    told = [*_origin(header, layout), *_losses(header), *caveats, *facts]
    lines = [line for fact in told for line in _lines(fact, layout)]
    table = process_lines(header.tree.processes, layout) if header.tree else []
    return [*lines, "", *([*table, ""] if table else [])]


def summary_lines(texts: Sequence[str], layout: Layout) -> list[str]:
    """Return what is said of a table as a whole, an empty line at its end; nothing where no header is wanted."""
    lines = [line for text in texts for line in wrapped(text, layout.width, _INDENT)] if layout.has_header else []
    return [*lines, ""] if lines else []


def _origin(header: Header, layout: Layout) -> Iterator[Fact]:
    origins = origins_of(header)
    parts = [header.collector, *([] if header.form == IMPORTED else [f"{header.form} form"])]
    how = ", ".join(map(visible, parts))
    profile = f"profile {visible(header.profile)}" if header.profile else ""
    session = f"session {visible(header.session)}" if header.session and not origins else ""
    if header.tree:
        profile = f"snapshot {visible(header.tree.snapshot)}" if header.tree.snapshot else ""
        session = f"session {visible(header.tree.session)}"
    which = " of ".join(one for one in (profile, session) if one)
    if header.form == IMPORTED and not origins:
        yield "File", ", ".join([command_line(header), span(header), how, *([profile] if profile else [])])
        return
    if header.tree:
        yield "Tree", _tree(header.tree, header, layout)
    else:
        yield from _sum(origins) if origins else [("Target", _target(header, layout))]
    yield "Recorded", ", ".join([span(header), how, *([which] if which else [])])


def _target(header: Header, layout: Layout, count: str = "") -> str:
    process = f" (PID {header.pid}, {_python(header)}){count}"
    command = command_line(header)
    left = max(layout.width - len("Target: ") - width_of(process), _COMMAND_WIDTH)
    if layout.width and header.command_line and width_of(command) > left:
        # What tells a program from others stands behind its interpreter.
        first, *others = header.command_line
        short = replace(header, command_line=(first.rpartition("/")[2], *others))
        command = cut(command_line(short), left, layout.mark)
    return command + process


def _tree(tree: ProcessTree, header: Header, layout: Layout) -> str:
    root = replace(header, pid=tree.pid, command_line=tree.command_line, python_version=tree.python_version)
    count = "1 process" if tree.count == 1 else f"{tree.count} processes"
    return _target(root, layout, f", {count}")


def _sum(origins: Sequence[Header]) -> Iterator[Fact]:
    yield "Sum of", f"{len(origins)} profiles"
    earlier = len(origins) - _PARTS_SHOWN
    if earlier > 0:
        yield "", f"{earlier} earlier ones"
    yield from (("", _part(one)) for one in origins[-_PARTS_SHOWN:])


def _part(header: Header) -> str:
    profile = f"{visible(header.profile)}: " if header.profile else ""
    if header.form == IMPORTED:
        return f"{profile}{command_line(header)}, {span(header)}"
    process = f"process {header.pid}, {_python(header)}, session {visible(header.session)}"
    return f"{profile}{command_line(header)}, {process}, {span(header)}"


def _losses(header: Header) -> list[Fact]:
    lost = ", ".join(f"{visible(reason)}: {count:,}" for reason, count in header.lost.items() if count)
    # A file tells nothing of what its writer lost.
    return [("Lost", lost)] if lost else [] if header.form == IMPORTED else [_NOTHING_LOST]


def _python(header: Header) -> str:
    return f"Python {visible(header.python_version) or 'of unknown version'}"


def _lines(fact: Fact, layout: Layout) -> list[str]:
    key, text = fact
    lead = f"{key}: " if key else _PART_INDENT
    lines = wrapped(lead + text, layout.width, _INDENT if key else _PART_INDENT + _INDENT)
    style = "" if fact == _NOTHING_LOST else _STYLES.get(key, "")
    first, *others = lines
    shown = layout.styled(f"{key}:", BOLD, style) + layout.styled(first[len(key) + 1 :], style) if key else first
    return [shown, *(layout.styled(line, style) for line in others)]
