"""`execctl memory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.sizes import format_size_bytes
from execctl.words import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from execctl.api.live_memory import LiveMemory, LiveObject
    from execctl.connection import Connection

_HEAD = ("FIGURE", "VALUE")
_NS_A_MS = 1_000_000
# What the daemon does not ask for.
_UNASKED_NS = 500_000_000
_NAMES = {
    "traced_bytes": "traced now",
    "peak_bytes": "traced at the peak",
    "tracemalloc_bytes": "tables of tracemalloc",
    "traceback_limit": "frames of a traceback",
    "listed_blocks": "blocks, about",
    "expected_pause_ns": "how long a snapshot holds it up, about",
    "expected_search_ns": "how long --where TYPE slows it, at most",
    "rss_bytes": "resident (RSS)",
    "pss_bytes": "resident, its share (PSS)",
    "swap_bytes": "swapped out",
    "gc_collections": "garbage collections",
    "gc_collected": "objects they freed",
    "gc_uncollectable": "objects they could not free",
}


@click.command("memory")
@click.argument("target", default="", metavar="[PID|SESSION|NAME]", callback=named)
@click.option("--reset-peak", is_flag=True, help="Let the peak begin anew.")
@click.option("--clear", is_flag=True, help="Forget all traces: snapshots then hold what is allocated from now on.")
@click.option("--where", default="", metavar="TYPE|MODULE:ATTRIBUTE", help="Where the largest objects were allocated.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Of --where: how many.")
@click.option(
    "--yes", "confirmed", is_flag=True, help="Of --where: also where it takes more than half a second of the process."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    connection: Connection,
    *,
    target: str,
    reset_peak: bool,
    clear: bool,
    where: str,
    limit: int,
    confirmed: bool,
    as_json: bool,
) -> None:
    """Show how much memory a traced process takes, and where its objects lie.

    A session of `execctl attach PID --memory` must be running; nothing means the only one. --reset-peak and
    --clear are refused where the program started tracemalloc itself. --where looks at every object that the
    garbage collector knows; where that would take more than half a second, --yes is asked for.
    """
    if reset_peak + clear + bool(where) > 1:
        raise click.UsageError("--reset-peak, --clear and --where exclude each other")
    with connection.open() as client:
        if where and confirmed:
            _announce(client.memory(target).figures.get("expected_search_ns", 0))
        found = client.memory(target, reset_peak=reset_peak, clear=clear, where=where, limit=limit, confirmed=confirmed)
    if as_json:
        output.write_json(_record(found))
    elif where:
        output.write_lines(_whereabouts(found))
    else:
        output.write_table(_HEAD, _rows(found))
        if found.figures.get("joined"):
            output.note("the program traces itself: its tracemalloc was joined")


def _announce(search_ns: int) -> None:
    if search_ns > _UNASKED_NS:
        output.note(f"this takes up to {search_ns / _NS_A_MS / 1000:.1f} s of the interpreter's time from the process")


def _rows(found: LiveMemory) -> Iterator[tuple[str, str]]:
    for name, title in _NAMES.items():
        if name in found.figures:
            yield title, _value(name, found.figures[name])


def _value(name: str, value: int) -> str:
    if name.endswith("_bytes"):
        return format_size_bytes(value)
    return f"{value / _NS_A_MS:.0f} ms" if name.endswith("_ns") else str(value)


def _whereabouts(found: LiveMemory) -> Iterator[str]:
    unseen, untraced = (found.figures.get(name, 0) for name in ("unseen", "untraced"))
    at_least = "at least " if unseen or found.figures.get("unfollowed") else ""
    size = format_size_bytes(found.size_bytes)
    yield f"{at_least}{found.count} objects, {size} without what they refer to; the largest:"
    for rank, one in enumerate(found.objects, 1):
        yield f"#{rank}: {one.type}, {format_size_bytes(one.size_bytes)}{'' if one.is_traced else ', not traced'}"
        yield from _frames(one)
    if untraced:
        which = "larger ones" if found.objects else "of them"
        yield f"{untraced} {which} have no traceback: they were allocated before tracing began"
    if unseen:
        yield f"{unseen} containers were not looked at: the process let the search run too little"


def _frames(one: LiveObject) -> Iterator[str]:
    for frame in one.traceback:
        yield f'  File "{frame.filename}", line {frame.lineno}'


def _record(found: LiveMemory) -> dict[str, object]:
    objects = [
        {
            "type": one.type,
            "size": one.size_bytes,
            "is_traced": one.is_traced,
            "frames": [{"file": frame.filename, "line": frame.lineno} for frame in one.traceback],
        }
        for one in found.objects
    ]
    record: dict[str, object] = {"pid": found.pid, "session": found.session, "figures": dict(found.figures)}
    return {**record, "count": found.count, "size": found.size_bytes, "objects": objects}
