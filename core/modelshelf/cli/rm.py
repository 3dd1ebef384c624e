"""``modelshelf rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.names import id_to_change
from modelshelf.cli.options import id_argument, json_option, version_argument

if TYPE_CHECKING:
    from modelshelf.cli.app import App


@click.command()
@id_argument
@version_argument
@json_option
@click.pass_obj
def command(app: App, *, model_id: str, version: str | None, as_json: bool) -> None:
    """Remove the record of the model ID, all versions or the one VERSION; its files stay where they are.

    A scan of the place records them again. Exit code 1: there is no such model.
    """
    with app.registry(makes_store=False) as registry:
        model_id = id_to_change(registry, model_id)
        registry.remove(model_id, version)
    if as_json:
        app.write_json({"removed": model_id, "version": version})
    else:
        what = model_id if version is None else f"{model_id} {version}"
        app.screen.line(f"removed the record of {what}; its files stay where they are")
