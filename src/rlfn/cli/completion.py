"""``rlfn completion``: the shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rlfn.cli import options
from rlfn.cli.commands import argument, command
from rlfn.errors import unknown

VARIABLE = "_RLFN_COMPLETE"
"""The environment variable by which a shell's script asks the command for completions."""

SHELLS = ("bash", "zsh", "fish")


@command(
    "completion",
    section="Use",
    examples=(
        'eval "$(rlfn completion bash)"   # in ~/.bashrc',
        'eval "$(rlfn completion zsh)"    # in ~/.zshrc',
        "rlfn completion fish > ~/.config/fish/completions/rlfn.fish",
    ),
)
@argument("shell", ", ".join(SHELLS) + ".", type=options.Names("shell", lambda: SHELLS), metavar="SHELL")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the shell completion script.

    It completes commands, options, and names of models, formats, recipes and the like.
    """
    found = get_completion_class(shell) if shell in SHELLS else None
    if found is None:
        raise unknown("completion for the shell", shell, SHELLS)
    root = context.find_root()
    click.echo(found(root.command, {}, root.info_name or "rlfn", VARIABLE).source())
