"""`execctl import`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.errors import ClientError
from execctl.exits import ExitCode
from execctl.records import profile_record

if TYPE_CHECKING:
    from execctl.connection import Connection

FORMATS = ("pstats", "trace-counts", "tracemalloc", "collapsed", "pprof")
UNITS = ("samples", "ns", "us", "ms", "s")
# What the daemon takes; one that is larger is not read to its end.
MOST_BYTES = 64 << 20


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
    contents = [(_name(file), _read(file)) for file in files]
    with connection.open() as client:
        profiles = client.library.import_files(contents, form or "", unit or "")
    if as_json:
        output.write_json({"profiles": [profile_record(profile) for profile in profiles]})
    else:
        output.write_lines(profile.id for profile in profiles)
    for profile in profiles:
        output.note(f"{profile.id}: {profile.collector} of {profile.name or 'a file'}, {profile.nodes} nodes")
    output.suggest(f"execctl report {profiles[-1].id}")


def _name(file: str) -> str:
    # Its bytes may be no UTF-8, and a message holds nothing else.
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise _refused(file, f"cannot read {file}: {error.strerror}", "name a file") from error
    if len(data) > MOST_BYTES:
        what = f"{file} has over {MOST_BYTES} bytes (64 MiB), and a file to import may have no more"
        raise _refused(file, what, "record for a shorter time, or with fewer frames")
    return data


def _refused(file: str, message: str, remedy: str) -> ClientError:
    return ClientError(message, kind="usage", exit_code=ExitCode.USAGE, remedy=remedy, facts={"file": file})
