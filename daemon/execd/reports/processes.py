"""What each process has of a tree: its figures, their table, and a report of each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from execd.errors import UsageError
from execd.model.fold import call_columns
from execd.model.lines.listing import by_file
from execd.model.processtree import TreeProcess
from execd.model.samples import measures
from execd.reports import collapsed
from execd.reports.document import encoded, head
from execd.reports.escape import code
from execd.reports.header import header_lines
from execd.reports.layout import BOLD
from execd.reports.names import process_title, program
from execd.reports.widths import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from execd.model.profile import Header, Profile
    from execd.reports.layout import Layout
    from execd.reports.options import ReportOptions

# The columns that add up to what a process has.
_SUMMED: Mapping[str, tuple[str, ...]] = {"callers": ("calls",), "memory": ("bytes", "blocks")}
# What every JSON report begins with; a part has it from the whole.
_HEAD = frozenset({"schema", "report", "profile"})


def with_processes(profile: Profile, parts: Sequence[Profile]) -> Profile:
    """Return the sum of a tree's processes with what each of them has.

    Args:
        profile: the sum.
        parts: of each process, as it is shown.
    """
    tree = profile.header.tree
    if tree is None:
        return profile
    processes = tuple(TreeProcess(part.header, _figures(part, profile)) for part in parts)
    return replace(profile, header=replace(profile.header, tree=replace(tree, processes=processes)))


def render_each(
    profile: Profile,
    format_name: str,
    options: ReportOptions,
    parts: Sequence[Profile],
    render: Callable[[Profile, ReportOptions], bytes],
) -> bytes:
    """Return a report of each process of a tree, below one header.

    Args:
        profile: the sum, of a tree; see `with_processes`.
        format_name: as in `render`.
        options: how.
        parts: of each process, as it is shown.
        render: makes the report of one.

    Raises:
        UsageError: it is no tree, or the format has no place for processes.
    """
    if profile.header.tree is None:
        raise UsageError(
            "there is one process to report", remedy="leave --per-process out; it is for what --children recorded"
        )
    match format_name:
        case "text":
            return _texts(profile, options, parts, render)
        case "json":
            return _documents(profile, options, parts, render)
        case "collapsed":
            return _stacks(options, parts, render)
    raise UsageError(
        f"the format {format_name} has no place for processes: it holds their sum",
        remedy="choose text, json or collapsed, or one process: --process PID",
        format=format_name,
    )


def _texts(
    profile: Profile,
    options: ReportOptions,
    parts: Sequence[Profile],
    render: Callable[[Profile, ReportOptions], bytes],
) -> bytes:
    shown = replace(options, layout=replace(options.layout, is_part=True))
    head_text = "\n".join([*header_lines(profile.header, options.layout), ""])
    texts = (f"{_title(part.header, options.layout)}\n\n{render(part, shown).decode()}" for part in _own(parts))
    return (head_text + "\n".join(texts)).encode()


def _title(header: Header, layout: Layout) -> str:
    title = process_title(header)
    return layout.styled(cut(title, layout.width, layout.mark) if layout.width else title, BOLD)


def _own(parts: Sequence[Profile]) -> Iterator[Profile]:
    """Yield the parts with the caveats that not all of them have: those stand above."""
    common = set.intersection(*(set(part.header.caveats) for part in parts))
    for part in parts:
        caveats = tuple(caveat for caveat in part.header.caveats if caveat not in common)
        yield replace(part, header=replace(part.header, caveats=caveats))


def _documents(
    profile: Profile,
    options: ReportOptions,
    parts: Sequence[Profile],
    render: Callable[[Profile, ReportOptions], bytes],
) -> bytes:
    documents: list[dict[str, Any]] = [json.loads(render(part, options)) for part in parts]
    document = head(documents[0]["report"], profile.header)
    for process, one in zip(document["processes"], documents, strict=True):
        process.update((key, value) for key, value in one.items() if key not in _HEAD)
    return encoded(document)


def _stacks(
    options: ReportOptions, parts: Sequence[Profile], render: Callable[[Profile, ReportOptions], bytes]
) -> bytes:
    stacks: list[bytes] = []
    size = 0
    for part in parts:
        bottom = f"process {part.header.pid} ({program(part.header)})".replace(";", code(";")).encode()
        lines = [bottom + b";" + line for line in render(part, options).splitlines(keepends=True)]
        size += sum(map(len, lines))
        if size > collapsed.MAX_BYTES:
            raise collapsed.too_large()
        stacks += lines
    return b"".join(stacks)


def _figures(part: Profile, whole: Profile) -> dict[str, int]:
    match part.header.collector:
        case "calls":
            columns = call_columns(part)
            return {"self_ns": sum(columns.self_ns), "calls": sum(columns.calls)}
        case "lines":
            return {"hits": sum(sum(file.hits.values()) for file in by_file(part))}
        case "cover":
            return {"lines": sum(len(file.hits) for file in by_file(part))}
        case "functions":
            return {"functions": len(set(part.node_locations))}
        case "samples":
            # A process that had just come has no sample, and its row has the columns of all.
            names = measures(whole)
        case other:
            names = _SUMMED.get(other, ())
    return {name: sum(part.column(name)) for name in names}
