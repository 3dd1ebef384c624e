"""Commands that plugins of other distributions add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from attrs import frozen

from modelshelf.command import CommandType
from modelshelf.errors import HookError, ModelshelfError
from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.find import BUILTIN, blocked_names, find
from modelshelf.plugin.given import given, with_environment
from modelshelf.plugin.load import load
from modelshelf.plugin.report import describe

if TYPE_CHECKING:
    from modelshelf.cli.app import App


@frozen(kw_only=True)
class Extension:
    """A command and the plugin that adds it.

    Attributes:
        plugin: The plugin's display name.
        offered: What its hook gave.
    """

    plugin: str
    offered: CommandType

    @property
    def summary(self) -> str:
        """One line for ``--help``."""
        return self.offered.summary

    def command(self) -> click.Command:
        """Load the command.

        Raises:
            HookError: It cannot be loaded, or is no click command.
        """
        try:
            command: object = self.offered.load()
        except (Exception, SystemExit) as error:  # a plugin may do anything
            raise HookError(self.plugin, f"command {self.offered.name!r}: {describe(error)}") from error
        if not isinstance(command, click.Command):
            kind = type(command).__name__
            raise HookError(self.plugin, f"command {self.offered.name!r}: is no click.Command but {kind}")
        return command


def load_extensions(app: App) -> dict[str, Extension]:
    """Commands by name; of two plugins that name one alike, the first by distribution keeps it.

    A plugin that fails adds nothing: `modelshelf plugins` says why. So does a configuration that cannot
    be used: help is shown all the same.
    """
    app.begin_logging()
    try:
        blocked = app.settings.disable_plugins
    except ModelshelfError:
        blocked = blocked_names()
    others = [one for one in find() if one.distribution != BUILTIN]
    plugins = PluginSet(load([*others, *given(with_environment(app.plugin_files))], blocked))
    extensions: dict[str, Extension] = {}
    for outcome in plugins.call("modelshelf_commands"):
        for offered in outcome.results:
            extensions.setdefault(offered.name, Extension(plugin=outcome.plugin, offered=offered))
    return extensions
