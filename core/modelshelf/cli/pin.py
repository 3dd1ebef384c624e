"""``modelshelf pin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.names import id_to_change
from modelshelf.cli.options import id_argument, json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App


@click.command()
@id_argument
@click.argument("version", metavar="[VERSION]", required=False)
@click.option("--none", "release", is_flag=True, help="Let the model go back to its newest version.")
@json_option
@click.pass_obj
def command(app: App, *, model_id: str, version: str | None, release: bool, as_json: bool) -> None:
    """Have the model ID stand for VERSION, whatever newer one a scan finds; --none lets it go.

    Exit code 1: there is no such model or version.
    """
    if release == (version is not None):
        raise click.UsageError("name a VERSION, or --none")
    with app.registry(makes_store=False) as registry:
        model_id = id_to_change(registry, model_id)
        registry.pin(model_id, version)
        model = registry.get(model_id)
    if model is None:  # it was removed meanwhile
        return
    if as_json:
        app.write_json({"id": model.id, "version": str(model.version), "pinned": not release})
    else:
        app.screen.line(f"{model.id}: " + ("not pinned" if release else f"pinned to {model.version}"))
