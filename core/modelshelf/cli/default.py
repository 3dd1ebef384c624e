"""``modelshelf default``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.names import id_to_change
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

    A model that is missing, offline or disabled is no default for as long as it is.

    Exit code 1: there is no default, or no such model.
    """
    if model_id is not None:
        with app.registry(makes_store=False) as registry:
            registry.set_default(id_to_change(registry, model_id))
    with app.lookup() as lookup:
        model = lookup.default()
        default_id = lookup.default_id()
        unavailable = lookup.get(default_id) if model is None and default_id is not None else None
    if as_json:
        app.write_json({"default": model.id if model else None})
    elif model:
        app.screen.line(model.id)
    elif unavailable:
        why = "offline" if unavailable.offline else "missing" if unavailable.missing else "disabled"
        complain(f"the default, {unavailable.id}, is {why}; `modelshelf default ID` sets another")
    else:
        complain("no model is the default; `modelshelf default ID` sets one")
    return int(model is None)
