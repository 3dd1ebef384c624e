"""``modelshelf default``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import complete_id, json_option
from modelshelf.cli.screen import complain

if TYPE_CHECKING:
    from modelshelf.cli.app import App


@click.command()
@click.argument("model_id", metavar="[ID]", required=False, shell_complete=complete_id)
@json_option
@click.pass_obj
def command(app: App, *, model_id: str | None, as_json: bool) -> int:
    """Show the default model, or make ID the default.

    Exit code 1: there is no default, or no such model.
    """
    with app.registry(readonly=model_id is None) as registry:
        if model_id is not None:
            registry.set_default(model_id)
        model = registry.default()
    if as_json:
        app.write_json({"default": model.id if model else None})
    elif model:
        app.screen.line(model.id)
    else:
        complain("no model is the default; `modelshelf default ID` sets one")
    return int(model is None)
