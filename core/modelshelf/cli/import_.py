"""``modelshelf import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.registry.settings_import import Restored

_MOST_NAMED = 20
_HEADINGS = {
    "unknown": "Not registered here (scan their folders, then import again)",
    "conflicts": "Set otherwise here, and left so (--replace takes over what the file says)",
    "refused": "Cannot be set",
    "by_id": "Found by their id alone",
    "superseded": "Older versions that are not here",
}


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option("--replace", is_flag=True, help="Take over what was set otherwise here, too.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and change nothing.")
@json_option
@click.pass_obj
def command(app: App, /, *, file: str, replace: bool, dry_run: bool, as_json: bool) -> int:
    """Take over what was set by hand, out of FILE as `modelshelf export --format settings` wrote it.

    Models are found again by their content, wherever their files lie now, else by their id. What was set
    otherwise here stays. `-` reads standard input. Exit code 1: something was not taken over; 2: FILE
    has no settings.
    """
    from attrs import asdict

    document = _read(file)
    with app.registry() as registry:
        restored = registry.import_settings(document, replace=replace, dry_run=dry_run)
    if as_json:
        app.write_json({**asdict(restored), "dry_run": dry_run})
    else:
        _show(app.screen, restored, dry_run=dry_run)
    return int(not restored.complete)


def _read(file: str) -> bytes:
    """The file's bytes, one more than a document may have at most."""
    from modelshelf.registry.settings_import import LARGEST_DOCUMENT

    if file == "-":
        return sys.stdin.buffer.read(LARGEST_DOCUMENT + 1)
    path = Path(file)
    if path.exists() and not path.is_file():
        raise click.UsageError(f"{file}: is no regular file")
    with path.open("rb") as stream:
        return stream.read(LARGEST_DOCUMENT + 1)


def _show(screen: Screen, restored: Restored, *, dry_run: bool) -> None:
    for name, heading in _HEADINGS.items():
        lines = getattr(restored, name)
        if not lines:
            continue
        screen.heading(heading)
        for line in lines[:_MOST_NAMED]:
            screen.item(line)
        if len(lines) > _MOST_NAMED:
            screen.line(f"  … and {len(lines) - _MOST_NAMED} more, see `modelshelf import --json`", "dim")
    verb = "would be changed" if dry_run else "changed"
    models = "1 model" if len(restored.changed) == 1 else f"{len(restored.changed)} models"
    screen.line(f"{models} {verb}, {restored.unchanged} as the file says already.")
