"""``modelshelf doctor``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.maintenance.repair import LostRecord, Salvaged
    from modelshelf.model import DiscoveryStats, Finding
    from modelshelf.plugin.call import PluginSet
    from modelshelf.registry.registry import ModelRegistry
    from modelshelf.source import Place

_MOST_NAMED = 20
_STYLES = {"info": "dim", "warning": "yellow", "error": "red"}


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="Put a sound store in the place of a damaged one: what can be read of it, and the rest from a scan.",
)
@json_option
@click.pass_obj
def command(app: App, /, *, repair: bool, as_json: bool) -> int:
    """Check the store and the plugins; say what is wrong, and what a repair would do.

    With --repair the records of a damaged store that can be read go into a new one, the folders that it
    knew are scanned for the rest, and the damaged file is kept beside it. Every other program that uses
    the store has to be ended before. Exit code 1: something is wrong, or was lost.
    """
    from modelshelf.maintenance.doctor import diagnose_plugins, is_repairable
    from modelshelf.maintenance.repair import survey
    from modelshelf.plugin.call import PluginSet

    plugins = PluginSet.discover(app.plugin_files, blocked=app.settings.disable_plugins)
    of_store = _look_at_store(app)
    damaged = any(map(is_repairable, of_store))
    report: dict[str, Any] = {}
    if damaged and repair:
        report["repaired"] = _repair(app, plugins)
        of_store = _look_at_store(app)
    elif damaged:
        report["repair_would"] = _as_json(survey(app.settings.store, plugins))
    findings = [*of_store, *diagnose_plugins(plugins)]
    sound = not any(one.severity.value != "info" for one in findings)
    if as_json:
        shown = [_finding_as_json(one) for one in findings]
        app.write_json({"store": app.settings.store, "sound": sound, "findings": shown, **report})
    else:
        _show(app.screen, app.settings.store, findings, report)
    repaired = report.get("repaired", {"lost": [], "unnamed": 0})
    return int(not sound or bool(repaired["lost"]) or repaired["unnamed"] != 0)


def _look_at_store(app: App) -> list[Finding]:
    from modelshelf.errors import DamagedStoreError, StoreAbsentError, StoreError
    from modelshelf.maintenance.doctor import diagnose_store
    from modelshelf.model import Finding, Severity
    from modelshelf.registry.open_store import open_store

    location, blocked = app.settings.store, app.settings.disable_plugins
    try:
        store = open_store(location, app.plugin_files, blocked, readonly=True)
        try:
            return diagnose_store(store)
        finally:
            store.close()
    except StoreAbsentError as error:
        return [Finding(code="no-store", severity=Severity.INFO, message=str(error))]
    except StoreError as error:
        code = "store-damaged" if isinstance(error, DamagedStoreError) else "store-unavailable"
        return [Finding(code=code, severity=Severity.ERROR, message=str(error))]


def _repair(app: App, plugins: PluginSet) -> dict[str, Any]:
    from modelshelf.cli.progress import progress
    from modelshelf.maintenance.repair import repair, still_lost

    salvaged = repair(app.settings.store, plugins)
    with app.registry() as registry:
        with progress() as show:
            stats = registry.discover_models(_recorded_places(app, registry, salvaged), progress=show)
        if salvaged.default is not None and salvaged.default in registry:
            registry.set_default(salvaged.default)
        lost = registry.store.view(lambda state: still_lost(state, salvaged))
    return _as_json(salvaged, lost, stats)


def _recorded_places(app: App, registry: ModelRegistry, salvaged: Salvaged) -> list[Place]:
    """The places of the settings, and those in which the store had models."""

    def below(folder: str, root: str) -> bool:
        return (folder + "/").startswith(root.rstrip("/") + "/")

    places = [registry.place(one) for one in app.settings.paths]
    present = [one for one in registry.places() if one.present]
    places += [one for one in present if any(below(folder, one.root) for folder in salvaged.folders)]
    for folder in salvaged.folders:
        if os.path.isdir(folder) and not any(below(folder, one.root) for one in places):
            places.append(registry.place(folder))
    return places


def _as_json(
    salvaged: Salvaged, lost: Sequence[LostRecord] | None = None, stats: DiscoveryStats | None = None
) -> dict[str, Any]:
    return {
        "salvaged": salvaged.records,
        "older": list(salvaged.older),
        "rebuilt": None if stats is None else stats.models_added,
        "lost": [
            {"id": one.model_id, "version": one.version, "paths": list(one.paths)}
            for one in (salvaged.lost if lost is None else lost)
        ],
        "unnamed": salvaged.unnamed,
        "unread_entries": salvaged.unread_entries,
        "unreadable": salvaged.unreadable,
        "folders": list(salvaged.folders),
        "kept": salvaged.kept,
    }


def _finding_as_json(one: Finding) -> dict[str, str]:
    return {"code": one.code, "severity": one.severity.value, "message": one.message}


def _show(screen: Screen, store: str, findings: Sequence[Finding], report: dict[str, Any]) -> None:
    from modelshelf.display import Cell

    if "repaired" in report:
        for line in _repaired(report["repaired"]):
            screen.line(line)
    if findings:
        screen.items([(Cell(one.code, _STYLES[one.severity.value]), one.message) for one in findings])
    if "repair_would" in report:
        for line in _would(report["repair_would"]):
            screen.line(line)
    if not any(one.severity.value != "info" for one in findings):
        screen.line(f"{store}: nothing is wrong with the store or the plugins.")


def _would(report: dict[str, Any]) -> Iterator[str]:
    yield (
        f"`modelshelf doctor --repair` would save {_records(report['salvaged'])}{_of_older(report)}, scan "
        f"{', '.join(report['folders'][:_MOST_NAMED]) or 'the configured paths'} for the rest, and keep the "
        "damaged file."
    )
    if report["unnamed"] != 0:
        yield f"Lost until then: {_lost(report)}."
    if report["lost"]:
        yield "It would have to read anew, from their files:"
        yield from _named(report["lost"])


def _repaired(report: dict[str, Any]) -> Iterator[str]:
    yield (
        f"Repaired: {_records(report['salvaged'])} saved{_of_older(report)}, {report['rebuilt']} rebuilt "
        f"from their files, {_lost(report)}. The damaged store is kept as {report['kept']}"
    )
    yield from _named(report["lost"])


def _lost(report: dict[str, Any]) -> str:
    """How many records are lost, as far as that is known."""
    named, unnamed, unread = len(report["lost"]), report["unnamed"], report["unread_entries"]
    if unnamed is not None:
        return f"{named + unnamed} lost" + (f", {unnamed} of them without a name" if unnamed else "")
    why = "the store's own count cannot be read" if unread is None else f"{unread} entries cannot be read"
    among = f", the {named} below among them" if named else ""
    return f"an unknown number lost{among} ({why})"


def _of_older(report: dict[str, Any]) -> str:
    older = report["older"]
    if not older:
        return ""
    more = ", …" if len(older) > _MOST_NAMED else ""
    return f" ({len(older)} of them as they once were: {', '.join(older[:_MOST_NAMED])}{more})"


def _named(lost: Sequence[dict[str, Any]]) -> Iterator[str]:
    for one in lost[:_MOST_NAMED]:
        yield f"  {one['id']} {one['version']}  {', '.join(one['paths'])}".rstrip()
    if len(lost) > _MOST_NAMED:
        yield f"  … and {len(lost) - _MOST_NAMED} more"


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
