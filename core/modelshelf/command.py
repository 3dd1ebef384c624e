"""Commands that plugins add to the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import click  # noqa: TC004 - only the command line imports click


@frozen(kw_only=True)
class CommandType:
    """A command, as a plugin's `modelshelf_commands` hook gives it.

    Attributes:
        name: The command's name.
        load: Gives the click command when it is run; its context object is a `modelshelf.cli.app.App`.
        summary: One line for ``--help``.
    """

    name: str
    load: Callable[[], click.Command]
    summary: str = ""
