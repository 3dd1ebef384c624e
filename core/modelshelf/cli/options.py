"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.errors import ModelshelfError

if TYPE_CHECKING:
    from modelshelf.cli.app import App

DEPTHS = ("quick", "header", "full")

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")

depth_option = click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    default="header",
    show_default=True,
    help="quick: sizes and shards; header: headers too; full: every byte, with the real loader.",
)


def complete_id(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Ids that begin with what was typed; none where the registry cannot be opened."""
    from modelshelf.cli.app import App

    app: App = ctx.find_object(App) or App()
    try:
        with app.listing() as listing:
            return [one for one in listing.ids_beginning(incomplete) if one.isprintable()]
    except ModelshelfError:
        return []


def complete_format(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of output formats that begin with what was typed."""
    from modelshelf.cli.app import App

    app: App = ctx.find_object(App) or App()
    app.begin_logging()
    from modelshelf.plugin.call import PluginSet

    try:
        plugins = PluginSet.discover(app.plugin_files, blocked=app.settings.disable_plugins)
    except ModelshelfError:
        return []
    names = [one.name for one in plugins.collect("modelshelf_serializers")]
    return [name for name in names if name.startswith(incomplete)]


id_argument = click.argument("model_id", metavar="ID", shell_complete=complete_id)
version_argument = click.argument("version", metavar="[VERSION]", required=False)
