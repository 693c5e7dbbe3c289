"""`saga completion`."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes your shell complete `saga` commands.

    \b
    bash:  saga completion bash > ~/.local/share/bash-completion/completions/saga
    zsh:   saga completion zsh  > ~/.zfunc/_saga
    fish:  saga completion fish > ~/.config/fish/completions/saga.fish
    """
    from click.shell_completion import get_completion_class

    from sagalang.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "saga", "_SAGA_COMPLETE").source())
