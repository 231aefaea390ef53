"""The command `execctl`: loads the one sub-command that runs, turns every error into text and exit code."""

from __future__ import annotations

import sys
from errno import EBADF, EIO, ENOSPC
from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NoReturn

import click

from execctl import __version__, output
from execctl.errors import ClientError
from execctl.exits import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

# Name and help of each command, in the order of work. The help stands here as well as in the command's own
# file, so that `execctl --help` loads none of them; a test keeps the two equal.
COMMANDS = {
    "ps": "List the CPython processes that this user can see.",
    "doctor": "Say whether a process can be attached to, check by check, without attaching.",
    "dump": "Show where all threads of a process are now.",
    "attach": "Attach to a process and start measuring.",
    "record": "Sample a process all the time, and keep the latest minutes.",
    "top": "Show live where a process spends its time.",
    "run": "Run a program, measured from its first line to its last.",
    "sessions": "List the sessions that go on.",
    "memory": "Show how much memory a traced process takes, and where its objects lie.",
    "census": "Count the live objects of a process by type.",
    "calibrate": "Measure what the recording of a call costs a process.",
    "follow": "Show what a trace records, as it comes.",
    "snapshot": "Store a profile of sessions that go on.",
    "stop": "End sessions and store their last profile.",
    "detach": "End all sessions on a process and leave it.",
    "profiles": "List the stored profiles.",
    "report": "Show a profile.",
    "merge": "Store the sum of several profiles as one.",
    "diff": "Compare two profiles: what B has over A.",
    "growth": "List what grew in every one of the latest snapshots.",
    "browse": "Look at statistics by the verbs of `python -m pstats`.",
    "export": "Write a profile in another tool's format.",
    "import": "Store what files of other tools hold.",
    "completion": "Print the completion script of a shell.",
}


class LazyGroup(click.Group):
    """A group that imports a command's file when that command is run, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, from execctl/commands/<name>.py; a name that Python keeps for itself has an underscore."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = import_module(f"execctl.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant, or fail with the names that look like it."""
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # noqa: PLC0415 - only for a typo

        close = get_close_matches(name, COMMANDS)
        guess = f" Did you mean {' or '.join(close)}?" if close else ""
        raise click.UsageError(f"No such command {name!r}.{guess}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *_: object, **extra: Any) -> NoReturn:
        """Run a command line and exit; every failure ends in one message, one remedy, one exit code."""
        extra |= {"prog_name": "execctl", "standalone_mode": False}
        sys.exit(_run(super().main, args, extra))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 usage, 3 no daemon, 4 target gone, 5 not permitted, 6 target not "
    "supported, 7 attach timed out, 8 partial data, 9 not found, 10 internal, 130 interrupted.",
)
@click.option("--socket", envvar="EXECD_SOCKET", metavar="PATH", help="The daemon's socket [env: EXECD_SOCKET].")
@click.option(
    "--data-dir",
    envvar="EXECD_DATA_DIR",
    metavar="DIR",
    help="Data directory of a daemon that has to be started [env: EXECD_DATA_DIR].",
)
@click.option("--no-start", is_flag=True, help="Do not start the daemon when none runs.")
@click.version_option(__version__, "--version", prog_name="execctl")
@click.pass_context
def cli(ctx: click.Context, *, socket: str | None, data_dir: str | None, no_start: bool) -> None:
    """Attach to a running CPython process, measure it, and leave it as it was."""
    if ctx.invoked_subcommand is None:
        output.help_text(ctx.get_help())
        ctx.exit(ExitCode.USAGE)
    from execctl.connection import Connection  # noqa: PLC0415 - help and completion need none

    ctx.obj = Connection(socket, data_dir, may_start=not no_start)


def main() -> NoReturn:
    """Run `execctl` with the arguments of this process."""
    cli.main()


def _run(command: Any, args: Sequence[str] | None, extra: dict[str, Any]) -> int:
    try:
        return _unprinted(command, args, extra)
    except click.Abort:
        output.error("interrupted")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        # click breaks a list of choices into lines.
        output.error(" ".join(error.format_message().split()), _usage_remedy(error))
        return ExitCode.USAGE
    except ClientError as error:
        output.error(error.message, error.remedy, _candidates(error))
        return error.exit_code
    except Exception:  # noqa: BLE001 - the edge: a bug must not end in Python's exit code 1, which has a meaning here
        return _bug()


def _unprinted(command: Any, args: Sequence[str] | None, extra: dict[str, Any]) -> int:
    """Run a command; help and version are printed by click itself, which knows less than output.py."""
    try:
        return command(args, **extra) or ExitCode.DONE
    except OSError as error:
        if sys.stdout is None or error.filename is not None or error.errno not in {ENOSPC, EIO, EBADF}:
            raise
        output.mute(sys.stdout)
        raise output.not_written(error.strerror) from error
    except SystemExit:
        # Of click's alone, for a reader that went away.
        return ExitCode.DONE


def _candidates(error: ClientError) -> dict[str, str]:
    # The message of every other error says what its facts say.
    told = error.facts if error.kind == "ambiguous" else {}
    return {name: value for name, value in told.items() if value not in error.message}


def _usage_remedy(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return "see `execctl --help`"
    remedy = f"see `{context.command_path} --help`"
    if isinstance(error, click.NoSuchOption) and context.parent is not None:
        if any(error.option_name in parameter.opts for parameter in cli.params):
            return f"write it before the command: `execctl {error.option_name} ... {context.info_name}`"
        return f"{remedy}; a name that starts with a dash goes after `--`"
    return remedy


def _bug() -> int:
    from traceback import format_exc  # noqa: PLC0415 - only for a bug

    output.trace(format_exc())
    output.error("this is a bug in execctl", "report it with the lines above")
    return ExitCode.INTERNAL
