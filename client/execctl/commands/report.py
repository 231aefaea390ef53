"""`execctl report`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from execctl.comparison import CompareCommand, compare_option
from execctl.delivery import BESIDE, deliver, deliver_files, refuse_terminal
from execctl.descendants import process_option
from execctl.query import ReportQuery, View
from execctl.settings import (
    BIAS,
    FILTERS,
    OF_LINES,
    OF_MEMORY,
    TIMING,
    VIEW,
    asked_layout,
    asked_settings,
    asked_table,
    asked_times,
    layout_options,
    output_options,
    settings_options,
    table_options,
    time_options,
)
from execctl.words import named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execctl.connection import Connection

_SETTINGS = (BIAS, *OF_LINES, TIMING, VIEW, *OF_MEMORY, *FILTERS)
# What each of these options asks for.
_FORMS = {"as_json": "json", "summary": "summary", "coverdir": "cover", "set_file": "source"}


@click.command("report", cls=CompareCommand)
@click.argument("subjects", nargs=-1, metavar="[SUBJECT]...", callback=named)
@click.option(
    "--format", "form", default="", metavar="NAME", help="Another report: summary, cover, source, pstats-text, json."
)
@table_options
@click.option("--callers", is_flag=True, help="Who called each function.")
@click.option("--callees", is_flag=True, help="Whom each function called.")
@click.option("--per-thread", is_flag=True, help="A table for each thread.")
@click.option("--per-process", is_flag=True, help="What --children recorded: a report for each process.")
@process_option
@click.option("-s", "--summary", is_flag=True, help="Lines: a line a file; with -C the listings too.")
@click.option(
    "-C",
    "--coverdir",
    metavar="DIR",
    help=f"Lines: write a listing of each file below DIR; {BESIDE}: beside the sources.",
)
@settings_options(_SETTINGS)
@time_options
@compare_option
@layout_options
@output_options
@click.pass_obj
def command(
    connection: Connection,
    /,
    *,
    subjects: tuple[str, ...],
    callers: bool,
    callees: bool,
    file: str | None,
    **given: Any,
) -> None:
    """Show a profile.

    SUBJECT is a profile (p34), a session (s12: its newest profile, a fresh one while it goes on), a PID or a
    name; nothing means the newest profile. Several are added up, and so are the processes that --children recorded. A
    name that starts with a dash goes after `--`.
    """
    if callers and callees:
        raise click.UsageError("--callers and --callees are two reports: ask for one")
    form = _form(given)
    coverdir: str | None = given["coverdir"]
    _refuse_with_listings(coverdir, file, given)
    refuse_terminal(form, file, "execctl report")
    layout = asked_layout(given, file)
    query = ReportQuery(
        subject=subjects[0] if subjects else "",
        added=subjects[1:],
        form=form,
        view=View.CALLERS if callers else View.CALLEES if callees else View.FUNCTIONS,
        per_thread=given["per_thread"],
        per_process=given["per_process"],
        process=given["process"],
        compare=given["compare"],
        settings=asked_settings(_SETTINGS, given) | asked_times(given),
        layout=layout,
        **asked_table(given),
    )
    with connection.open() as client:
        if coverdir:
            listings = client.render(query.of_files(beside=coverdir == BESIDE))
            deliver_files(listings, coverdir)
            if not given["summary"]:
                return
            # The profile that the listings are of: a running session goes on. Its notes are told.
            rendering = replace(client.render(query.of_profile(listings.profile, listings.added)), notes=())
        else:
            rendering = client.render(query)
    deliver(rendering, form, file, has_color=layout.has_color)


def _form(given: Mapping[str, Any]) -> str:
    """Return the format that the options ask for.

    Raises:
        click.UsageError: they ask for several.
    """
    asked = {"set_file"} if given["set_file"] and not given["form"] else set()
    asked |= {name for name in ("as_json", "summary", "coverdir") if given[name]}
    # The listings go to files, and leave standard output to the summary.
    if {"summary", "coverdir"} <= asked:
        asked.remove("coverdir")
    forms = {_FORMS[name] for name in asked} | ({given["form"]} if given["form"] else set())
    if len(forms) > 1:
        raise click.UsageError(f"{' and '.join(sorted(forms))} are {len(forms)} reports: ask for one")
    return forms.pop() if forms else "text"


def _refuse_with_listings(coverdir: str | None, file: str | None, given: Mapping[str, Any]) -> None:
    if coverdir is None:
        return
    if not coverdir:
        raise click.UsageError("-C needs the name of a directory")
    if given["compare"]:
        raise click.UsageError("-C writes the listings of one profile: leave --compare out")
    if file is not None and not given["summary"]:
        raise click.UsageError("-C writes files below a directory: leave -o out")
