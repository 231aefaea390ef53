"""`execctl dump`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from execctl import output
from execctl.dumped import dump_record, dump_text

if TYPE_CHECKING:
    from execctl.connection import Connection


@click.command("dump")
@click.argument("target", metavar="PID|NAME")
@click.option("--async", "with_tasks", is_flag=True, help="Show the tasks of event loops too, and who awaits them.")
@click.option("--never-stop", is_flag=True, help="Do not stop running threads while they are read.")
@click.option("--wide", is_flag=True, help="Shorten no line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    connection: Connection, *, target: str, with_tasks: bool, never_stop: bool, wide: bool, as_json: bool
) -> None:
    """Show where all threads of a process are now.

    It is read from outside: nothing is put into the process, and a process that is stopped, traced or busy in C is
    shown too. Running threads are stopped for some 50 microseconds each.
    """
    with connection.open() as client:
        dump = client.dump(target, never_stop=never_stop, tasks=with_tasks)
    if as_json:
        output.write_json(dump_record(dump))
    else:
        layout = output.layout(is_wide=wide)
        text = dump_text(dump, layout)
        output.write_bytes(output.printable(text.encode(), "text", has_color=layout.has_color))
    for sentence in dump.notes:
        output.note(sentence)
