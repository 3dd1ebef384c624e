"""``modelshelf sources``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.options import json_option
from modelshelf.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modelshelf.cli.app import App


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, /, *, as_json: bool) -> None:
    """Places where models lie: list them, add one, remove one.

    A scan without a PATH looks into every place that is present.
    """
    if context.invoked_subcommand is None:
        _list(context.obj, as_json=as_json)


@command.command("ls")
@json_option
@click.pass_obj
def list_(app: App, /, *, as_json: bool) -> None:
    """List every place that the sources would look into, present or not, and why."""
    _list(app, as_json=as_json)


def _list(app: App, *, as_json: bool) -> None:
    from attrs import asdict

    from modelshelf.display import Cell, Column

    with app.registry(readonly=True) as registry:
        places = registry.places()
        named = [path for path in app.settings.paths if all(one.root != path for one in places)]
    rows = [asdict(one) for one in places]
    rows += [
        {"source": "local", "root": path, "reason": "paths in the settings", "present": os.path.exists(path)}
        for path in named
    ]
    rows.sort(key=lambda one: (not one["present"], one["source"], one["root"]))
    if as_json:
        app.write_json(rows)
        return
    columns = (
        Column("SOURCE"),
        Column("PRESENT"),
        Column("WHY", gives_way=True),
        Column("PLACE", wraps=True),
    )
    app.screen.table(
        columns,
        [
            (
                one["source"],
                Cell("yes", "green") if one["present"] else Cell("no", "dim"),
                one["reason"],
                one["root"],
            )
            for one in rows
        ],
    )


@command.command("add")
@click.argument("root", metavar="FOLDER")
@click.option("--source", "name", default="local", show_default=True, help="The source that reads it.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A further setting of that source; repeatable.",
)
@click.pass_obj
def add(app: App, /, *, root: str, name: str, settings: tuple[str, ...]) -> None:
    """Add FOLDER to the places that a scan looks into, by a [[sources]] table in the settings file.

    The source is asked first whether it can use the settings. Nothing is scanned yet.
    """
    from modelshelf.config_edit import add_source

    path = root if "://" in root else os.path.abspath(os.path.expanduser(root))
    table: dict[str, Any] = {"name": name, **_where(name, path), **_pairs(settings)}
    _try_out(app, table)
    file = _file(app)
    add_source(file, table)
    app.screen.line(f"{path} is a place of the source {name} now; it is in {file}.")
    if "://" not in path and not os.path.exists(path):
        app.screen.line("It is not there yet.", "yellow")


@command.command("rm")
@click.argument("root", metavar="FOLDER")
@click.option("--source", "name", help="Of that source alone.")
@click.pass_obj
def remove(app: App, /, *, root: str, name: str | None) -> None:
    """Take FOLDER out of the settings again. Records and files stay; `modelshelf rm` removes a record."""
    from modelshelf.config_edit import remove_sources

    file = _file(app)
    path = root if "://" in root else os.path.abspath(os.path.expanduser(root))

    def matches(table: Mapping[str, Any]) -> bool:
        return path in _roots(table, file.parent) and name in (None, table.get("name"))

    count = remove_sources(file, matches)
    if not count:
        raise ConfigurationError(f"{file}: no source there has the root {path}; see `modelshelf sources ls`")
    app.screen.line(f"{path} is no place of the settings any more.")


def _where(name: str, path: str) -> dict[str, Any]:
    return {"paths": [path]} if name == "local" else {"root": path}


def _roots(table: Mapping[str, Any], folder: Path) -> set[str]:
    places: Iterable[Any] = [table.get("root"), *(table.get("paths") or ())]
    texts = [str(one) for one in places if one]
    return {
        one if "://" in one else os.path.abspath(os.path.join(folder, os.path.expanduser(one)))
        for one in texts
    }


def _pairs(settings: tuple[str, ...]) -> dict[str, Any]:
    """Settings out of KEY=VALUE; a value is read as TOML reads it, and as text where it is none."""
    import tomllib

    found: dict[str, Any] = {}
    for one in settings:
        key, equals, text = one.partition("=")
        if not (equals and key.strip()):
            raise click.BadParameter(f"{one!r} is not KEY=VALUE", param_hint="--set")
        try:
            found[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = text
    return found


def _try_out(app: App, table: dict[str, Any]) -> None:
    """Let the source read its settings before they are written.

    Raises:
        ConfigurationError: There is no such source, or it cannot use them.
    """
    from modelshelf.scan.places import make_sources

    with app.registry(readonly=True) as registry:
        made = make_sources(registry.plugins, [table])
    made[-1].places()


def _file(app: App) -> Path:
    from modelshelf.config import settings_file

    return settings_file(app.settings_path)
