"""``completion``: the script that teaches a shell to complete the command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .. import exit_codes

__all__ = ["completion"]

_SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_GLMCLIENT_COMPLETE"
"""What the script sets to ask for completions."""


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> int:
    """Write the script that completes commands, options, services and models.

    \b
    bash   glmclient completion bash > ~/.local/share/bash-completion/completions/glmclient
    zsh    glmclient completion zsh > "${fpath[1]}/_glmclient"
    fish   glmclient completion fish > ~/.config/fish/completions/glmclient.fish
    """
    from ..application import application

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click cannot complete in {shell}.")
    click.echo(found(application, {}, "glmclient", VARIABLE).source())
    return exit_codes.OK
