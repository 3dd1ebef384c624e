"""``modelshelf completion``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_obj
def command(app: App, *, shell: str, as_json: bool) -> None:
    """Print the completion script of SHELL.

    bash: add `eval "$(modelshelf completion bash)"` to ~/.bashrc; zsh likewise to ~/.zshrc;
    fish: `modelshelf completion fish > ~/.config/fish/completions/modelshelf.fish`.
    """
    from click.shell_completion import get_completion_class

    from modelshelf.cli.app import COMPLETION_VARIABLE
    from modelshelf.cli.group import PROGRAM, cli

    kind = get_completion_class(shell)
    if kind is None:  # a click that is older than its support of this shell
        raise click.ClickException(f"this click cannot complete in {shell}")
    script = kind(cli, {}, PROGRAM, COMPLETION_VARIABLE).source()
    if as_json:
        app.write_json({"shell": shell, "script": script})
    else:
        app.write([script.encode(), b"\n"])
