"""``modelshelf show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.options import id_argument, json_option, version_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.model import Location, ModelConfig, ModelVersion
    from modelshelf.registry.lookup import ModelLookup


@click.command()
@id_argument
@version_argument
@json_option
@click.pass_obj
def command(app: App, *, model_id: str, version: str | None, as_json: bool) -> None:
    """Show everything that is known of the model ID, and where each value was read.

    Without a VERSION the current one is shown. Exit code 1: there is no such model.
    """
    if as_json:
        with app.registry(readonly=True) as registry:
            model = recorded(registry, model_id, version)
            [record] = app.as_json(registry, [model])
            app.write_json({**record, "versions": [str(one) for one in registry.get_versions(model.id)]})
    else:
        with app.lookup() as lookup:
            model = recorded(lookup, model_id, version)
            versions = lookup.get_versions(model.id)
            _show(app.screen, model, versions, is_default=lookup.default_id() == model.id)


def recorded(lookup: ModelLookup, model_id: str, version: str | None = None) -> ModelConfig:
    """The record of that id, or of that id and version.

    Raises:
        UnknownModelError: There is none.
        InvalidVersionError: The text is no version.
    """
    from modelshelf.errors import UnknownModelError

    found = lookup.resolve(model_id)
    model = found if version is None else lookup.get_by_version(found.id, version)
    if model is None:
        raise UnknownModelError(model_id, version)
    return model


def _show(screen: Screen, model: ModelConfig, versions: list[ModelVersion], *, is_default: bool) -> None:
    from modelshelf.cli.models import finding, verdict

    screen.line(f"{model.id} {model.version}", "bold")
    shown = verdict(model.current_verdict, model.enabled)
    screen.line(f"  {shown.text}", shown.style)
    for one in model.findings:
        screen.item(f"{one.severity}: {finding(one)}")
    screen.heading("Metadata")
    screen.facts([*_metadata(model)])
    screen.heading("Settings")
    screen.facts([*_settings(model, is_default=is_default)])
    screen.heading("Versions")
    for number in versions:
        screen.line(f"  {number}" + ("  (shown here)" if number == model.version else ""))
    screen.heading("Places")
    for place in model.locations:
        _show_place(screen, place)
    present = [one for one in model.locations if not one.missing]
    if len(present) > 1:
        from modelshelf.records.space import are_confirmed

        if not are_confirmed(present):
            screen.line(
                "  probable copies: not all bytes were compared; `modelshelf check --depth full` does"
            )
    if not model.locations:
        screen.line(f"  {model.path or 'none'}")


def _show_place(screen: Screen, place: Location) -> None:
    from modelshelf.model.quantity import format_bytes

    screen.line(f"  {place.path}" + ("  (missing)" if place.missing else ""))
    screen.facts([("", file.name, f"{format_bytes(file.size)}, {file.role}") for file in place.files])


def _metadata(model: ModelConfig) -> Iterator[tuple[str, str, str]]:
    """Each known field with its value and provenance, then the facts that only this format has."""
    from modelshelf.model.metadata import detail_key

    metadata = model.metadata
    for name in metadata.fields_set():
        provenance = metadata.provenance.get(name)
        yield name, _for_people(name, getattr(metadata, name)), str(provenance) if provenance else ""
    for name, value in metadata.details.items():
        if isinstance(value, dict):  # a table is for programs; --json has it
            continue
        yield name, _for_people(name, value), str(metadata.provenance.get(detail_key(name), "detail"))


def _settings(model: ModelConfig, *, is_default: bool) -> Iterator[tuple[str, str, str]]:
    """What a person may set, and what became of the model since it was recorded."""
    for name in ("display_name", "aliases", "enabled", "preload", "max_workers", "max_tokens", "temperature"):
        yield (
            name,
            _for_people(name, getattr(model, name)),
            "set by hand" if name in model.set_by_user else "",
        )
    yield "default", _for_people("default", is_default), ""
    yield "use_count", str(model.use_count), ""
    for name in ("last_used", "added_at", "updated_at", "checked_at", "missing_since"):
        if getattr(model, name) is not None:
            depth = f"at depth {model.locations[0].depth}" if name == "checked_at" and model.locations else ""
            yield name, _for_people(name, getattr(model, name)), depth


def _for_people(name: str, value: Any) -> str:
    from modelshelf.model.quantity import format_bytes

    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = [f"{key}: {count}" for key, count in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if name == "size_bytes":
        return f"{format_bytes(value)} ({value} bytes)"
    return _moment(value) if name.endswith(("_at", "_since")) or name == "last_used" else str(value)


def _moment(seconds: Any) -> str:
    """Unix time as UTC; a record from elsewhere may hold a time that no calendar has."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError, TypeError):
        return str(seconds)
