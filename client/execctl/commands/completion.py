"""`execctl completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from execctl import output

PLACES = {
    "bash": 'eval "$(execctl completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(execctl completion zsh)" in ~/.zshrc, after compinit',
    "fish": "execctl completion fish > ~/.config/fish/completions/execctl.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(PLACES)))
@click.pass_context
def command(ctx: click.Context, *, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: eval "$(execctl completion bash)" in ~/.bashrc.
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"this click cannot complete for {shell}")
    root = ctx.find_root()
    output.write_bytes(completion(root.command, {}, "execctl", "_EXECCTL_COMPLETE").source().encode() + b"\n")
    output.note(f"put it in place with: {PLACES[shell]}")
