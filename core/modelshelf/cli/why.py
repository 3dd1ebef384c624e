"""``modelshelf why``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App


@click.command()
@click.argument("path", type=click.Path())
@json_option
@click.pass_obj
def command(app: App, *, path: str, as_json: bool) -> None:
    """Tell what every rule and every plugin says of PATH, and so why it is a model or is not."""
    from attrs import asdict

    from modelshelf.display import Column

    with app.registry(readonly=True) as registry:
        reasons = registry.why(path)
    if as_json:
        app.write_json([asdict(reason) for reason in reasons])
    else:
        app.screen.table(
            (Column("RULE"), Column("VERDICT"), Column("REASON", wraps=True)),
            [(reason.rule, reason.verdict, reason.message) for reason in reasons],
        )
