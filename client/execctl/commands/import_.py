"""`execctl import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import importable, output
from execctl.records import profile_record

if TYPE_CHECKING:
    from execctl.connection import Connection

FORMATS = ("pstats", "trace-counts", "tracemalloc", "collapsed", "pprof")
UNITS = ("samples", "ns", "us", "ms", "s")


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--format", "form", type=click.Choice(FORMATS), help="What the files are; else their content tells.")
@click.option("--unit", type=click.Choice(UNITS), help="What collapsed stacks count; samples without it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    connection: Connection, *, files: tuple[str, ...], form: str | None, unit: str | None, as_json: bool
) -> None:
    """Store what files of other tools hold.

    They are of pstats, trace, tracemalloc and pprof, or collapsed stacks as flamegraph.pl reads them.

    Reports, exports and comparisons are then made of them as of what execd recorded itself. Several files are stored
    all or none, in their order: `execctl growth` looks at snapshots of tracemalloc that were imported together.
    """
    contents = [(importable.name_of(file), importable.content(file)) for file in files]
    with connection.open() as client:
        profiles = client.import_contents(contents, form or "", unit or "")
    if as_json:
        output.write_json({"profiles": [profile_record(profile) for profile in profiles]})
    else:
        output.write_lines(profile.id for profile in profiles)
    for profile in profiles:
        output.note(f"{profile.id}: {profile.collector} of {profile.name or 'a file'}, {profile.nodes} nodes")
    output.suggest(f"execctl report {profiles[-1].id}")
