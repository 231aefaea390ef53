"""`execctl run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from execctl import child, output, pythonline
from execctl.bias import timer_remedy
from execctl.descendants import children_option, recorded, with_children
from execctl.errors import ClientError, UsageError
from execctl.keeping import keeping_options, kept
from execctl.modes import asked_specs, mode_list, mode_options
from execctl.quantities import quantity
from execctl.sizes import parse_size_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from execctl.api.program import Prepared, Program
    from execctl.api.session import Session
    from execctl.client import Client
    from execctl.connection import Connection

_WITHOUT_PYTHON = (
    "`execctl run` starts what python does: prog.py, -m module or -c code; to what another program starts attach: "
    "execctl attach PID"
)


class _Command(click.Command):
    """A command whose options end at the first word that is none of them: the rest is the program's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program's words apart before click sees them."""
        own: list[str] = []
        rest = list(args)
        while rest and rest[0] != "--" and self._is_own(ctx, rest[0]):
            word = rest.pop(0)
            own.append(word)
            if rest and "=" not in word and self._takes_value(ctx, word):
                own.append(rest.pop(0))
        return super().parse_args(ctx, [*own, "--", *(rest[1:] if rest[:1] == ["--"] else rest)])

    def _is_own(self, ctx: click.Context, word: str) -> bool:
        return word.startswith("--") or any(word in one.opts for one in self.get_params(ctx))

    def _takes_value(self, ctx: click.Context, word: str) -> bool:
        found = [one for one in self.get_params(ctx) if isinstance(one, click.Option) and word in one.opts]
        return any(not one.is_flag and not one.count for one in found)


@click.command("run", cls=_Command)
@mode_options
@click.option("--python", default="", metavar="NAME|PATH", help="The interpreter; python3 where it is left out.")
@click.option(
    "--max-memory",
    metavar="SIZE",
    callback=quantity(parse_size_bytes),
    help="Memory that the recording may take in the program: 32MB; never over a quarter of what its limits leave.",
)
@click.option("--name", default="", help="What to call the session.")
@keeping_options
@children_option
@click.option("--quiet", is_flag=True, help="Say nothing where all went well.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF PYTHON] PROG.PY|-m MODULE|-c CODE ...")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    python: str,
    max_memory: int | None,
    name: str,
    labels: Mapping[str, str],
    into: str,
    children: bool,
    quiet: bool,
    words: tuple[str, ...],
    **given: Any,
) -> None:
    """Run a program, measured from its first line to its last.

    It runs under its own interpreter, as without execctl: same arguments, files, terminal, signals and exit status.
    What was recorded is kept however it ends. execctl's own options come first, then python's, then the program.
    """
    specs = asked_specs(given, {} if max_memory is None else {"max_memory_bytes": max_memory})
    if not specs:
        _refuse_without_mode()
    specs = with_children(kept(specs, labels, into), children=children)
    file = pythonline.check_words(words)
    interpreter = pythonline.find_interpreter(python)
    connection: Connection = ctx.obj
    with connection.open() as client:
        prepared = client.prepare(words, specs, python=interpreter, name=name)
        status, is_recorded = _run(client, prepared, quiet=quiet)
    if not is_recorded and (why := pythonline.why_refused(file, status)):
        output.error(why, _WITHOUT_PYTHON)
    ctx.exit(child.end_as(status))


def _run(client: Client, prepared: Prepared, *, quiet: bool) -> tuple[int, bool]:
    """Return how the program ended, as subprocess has it, and whether anything of it was recorded."""
    recipient = child.Recipient()
    try:
        with child.signals_handed_on(recipient):
            program = prepared.start()
            recipient.begin(program.process.pid)
            status = program.wait()
            recipient.end()
            is_recorded = tell(client, program, quiet=quiet)
    finally:
        prepared.close()
    return status, is_recorded


def tell(client: Client, program: Program, *, quiet: bool) -> bool:
    """Say what was recorded, and return whether anything was, or may have been.

    Whatever became of that, the program's own end is what counts.

    Args:
        client: of the daemon.
        program: that has ended.
        quiet: say nothing where all went well.
    """
    try:
        outcome = program.outcome()
    except ClientError as error:
        output.error(f"what was recorded is not known: {error.message}", error.remedy)
        return True
    if outcome.failure:
        output.error(f"nothing was recorded: {outcome.failure}", timer_remedy(outcome.failure))
    for session in outcome.sessions:
        if not session.latest_profile:
            output.error(f"{session.id}: nothing was recorded: {session.reason or 'the program ended too soon'}")
        elif not quiet or session.state != "stopped" or session.reason:
            what = f"{recorded(client, session)}{_early_end(session)}"
            output.note(f"execctl: recorded {what}: see execctl report {session.id}")
    # One that met nothing has its reason.
    return any(session.latest_profile and not session.reason for session in outcome.sessions)


def _early_end(session: Session) -> str:
    """Return how a session ended that did not last until the program's end, or lacks something, "" of any other."""
    if session.state == "stopped":
        return f", but {session.reason}" if session.reason else ""
    state = session.state.replace("_", " ")
    return f", {state}: {session.reason}" if session.reason else f", {state}"


def _refuse_without_mode() -> None:
    raise UsageError("run a program, to do what? No mode is given", remedy=f"the modes:\n{mode_list()}")
