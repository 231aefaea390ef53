"""`execctl export`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from execctl.delivery import deliver, refuse_terminal
from execctl.descendants import process_option
from execctl.query import ReportQuery
from execctl.settings import FILTERS, VIEW, asked_settings, asked_times, settings_options, time_options
from execctl.words import named

if TYPE_CHECKING:
    from execctl.connection import Connection

FORMATS = ("pstats", "pprof", "collapsed", "speedscope", "lcov", "cobertura", "coverage", "trace-counts", "tracemalloc")
_SETTINGS = (VIEW, *FILTERS)


@click.command("export")
@click.argument("subjects", nargs=-1, metavar="[SUBJECT]...", callback=named)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="The format.")
@settings_options(_SETTINGS)
@time_options
@click.option("--strip-dirs", is_flag=True, help="File names without directories.")
@click.option("--thread", default="", metavar="NAME|ID", help="Only this thread.")
@click.option("--per-process", is_flag=True, help="collapsed, of what --children recorded: a process is a frame.")
@process_option
@click.option("-o", "--output", "file", metavar="FILE", help="Write to this file.")
@click.pass_obj
def command(
    connection: Connection,
    /,
    *,
    subjects: tuple[str, ...],
    form: str,
    thread: str,
    strip_dirs: bool,
    per_process: bool,
    process: int,
    file: str | None,
    **given: Any,
) -> None:
    """Write a profile in another tool's format.

    Of calls: pstats loads in Python's pstats and in snakeviz, pprof in `go tool pprof`, collapsed in flamegraph.pl
    and speedscope. Of samples: pprof and collapsed, and speedscope with a profile a thread. Of lines: lcov in genhtml,
    cobertura in CI servers, coverage in coverage.py, trace-counts in `python -m trace --report`. Of memory: tracemalloc
    in tracemalloc.Snapshot.load, pprof and collapsed as above. SUBJECT is as in `execctl report`; several are added up.
    """
    refuse_terminal(form, file, "execctl export")
    subject, *added = subjects or ("",)
    settings = asked_settings(_SETTINGS, given) | asked_times(given)
    query = ReportQuery(subject, form, thread=thread, settings=settings, added=tuple(added))
    with connection.open() as client:
        rendering = client.render(replace(query, strip_dirs=strip_dirs, per_process=per_process, process=process))
    deliver(rendering, form, file)
