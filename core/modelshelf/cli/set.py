"""``modelshelf set``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.names import id_to_change
from modelshelf.cli.options import id_argument, json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelshelf.cli.app import App
    from modelshelf.model import ModelConfig

_WORDS = {
    "yes": True,
    "true": True,
    "on": True,
    "1": True,
    "no": False,
    "false": False,
    "off": False,
    "0": False,
}
_UNSET = "none"


@click.command()
@id_argument
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--at", "version", metavar="VERSION", help="Change that version instead of the current one.")
@json_option
@click.pass_obj
def command(app: App, *, model_id: str, changes: tuple[str, ...], version: str | None, as_json: bool) -> None:
    """Change settings of the model ID; what is set by hand outlives every scan.

    KEY is display_name, aliases, enabled, preload, max_workers, max_tokens, temperature, or a field of the
    metadata: tags, license, context_length, … VALUE `none` unsets; lists are separated by commas.

    Exit code 1: there is no such model; 2: no such key, or a value that cannot be.
    """
    values = parse_changes(model_id, changes)
    with app.registry(makes_store=False) as registry:
        model_id = id_to_change(registry, model_id)
        model = registry.update(model_id, version=version, **values)
        if as_json:
            [record] = app.as_json(registry, [model])
            app.write_json(record)
            return
    for name in values:
        app.screen.line(f"{model.id}: {name} = {_written(_current(model, name))}")


def parse_changes(model_id: str, changes: tuple[str, ...]) -> dict[str, Any]:
    """The values that ``key=value`` texts ask for, each of its field's type.

    Raises:
        click.UsageError: A text has no ``=``, a key is unknown or twice, or a value is not of its type.
    """
    fields = settable()
    values: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise click.UsageError(f"model {model_id!r}: {change!r} is no KEY=VALUE")
        if key not in fields:
            raise click.UsageError(
                f"model {model_id!r}: there is no key {key!r}; the keys are {', '.join(fields)}"
            )
        if key in values:
            raise click.UsageError(f"model {model_id!r}: {key} is given twice")
        try:
            values[key] = fields[key](text)
        except ValueError as error:
            raise click.UsageError(f"model {model_id!r}: {key}: {error}") from None
    return values


def settable() -> Mapping[str, Callable[[str], Any]]:
    """What reads the text of each key that can be set: settings first, then fields of the metadata."""
    from typing import get_type_hints

    from modelshelf.model import ModelConfig, ModelMetadata
    from modelshelf.model.metadata import FIELD_NAMES
    from modelshelf.registry.edits import CONFIG_FIELDS

    types = {**get_type_hints(ModelMetadata), **get_type_hints(ModelConfig)}
    return {name: _READERS[types[name]] for name in (*CONFIG_FIELDS, *FIELD_NAMES) if types[name] in _READERS}


def _flag(text: str) -> bool:
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"must be yes or no, not {text!r}") from None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be an integer, not {text!r}") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"must be a number, not {text!r}")
    return number


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text.lower() != _UNSET else ()


def _optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.strip().lower() == _UNSET else read(text)


# By the type of the field; a field of any other type cannot be set as text.
_READERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    bool: _flag,
    tuple[str, ...]: _list,
    str | None: _optional(str),
    int | None: _optional(_integer),
    float | None: _optional(_number),
    bool | None: _optional(_flag),
    tuple[str, ...] | None: _optional(_list),
}


def _current(model: ModelConfig, name: str) -> Any:
    return getattr(model if hasattr(model, name) else model.metadata, name)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else _UNSET if value is None else str(value)
