"""``modelshelf scan``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from modelshelf.cli.app import App
from modelshelf.cli.options import depth_option, json_option

if TYPE_CHECKING:
    from modelshelf.cli.screen import Screen
    from modelshelf.model import DiscoveryStats, ModelConfig
    from modelshelf.registry import ModelRegistry

_MOST_ROWS = 200
_MOST_FINDINGS = 20
_MOST_PROBLEMS = 10


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path())
@depth_option
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of workers.")
@click.option("--force", is_flag=True, help="Read unchanged models again.")
@json_option
@click.pass_obj
def command(
    app: App, *, paths: tuple[str, ...], depth: str, workers: int | None, force: bool, as_json: bool
) -> int:
    """Find models in each PATH and record what each is and whether it is sound.

    Without a PATH the configured places are scanned. Models whose files did not change are not opened
    again. Exit code 1: something could not be scanned, or a model is unhealthy.
    """
    from modelshelf.cli.progress import progress
    from modelshelf.model import HealthStatus

    places = paths or app.settings.paths
    with app.registry() as registry:
        with progress() as show:
            stats = registry.discover_models(
                places or None,
                depth=depth,
                workers=workers or app.settings.workers,
                force=force,
                progress=show,
            )
        models = _found(registry, paths)
        if as_json:
            app.write(_document(app, registry, stats, models))
        else:
            _report(app.screen, stats, models, registry)
    return int(stats.errors > 0 or any(one.health_status is HealthStatus.UNHEALTHY for one in models))


def _found(registry: ModelRegistry, paths: Sequence[str]) -> list[ModelConfig]:
    """The models that lie in the scanned places; all whose files are there, when no place was named."""
    import os

    from modelshelf.model import Query

    models = registry.find(Query(missing=False))
    if not paths:
        return models
    roots = tuple({root for path in paths for root in (os.path.abspath(path), os.path.realpath(path))})
    inside = tuple(f"{root.rstrip(os.sep)}{os.sep}" for root in roots)
    return [
        model
        for model in models
        if any(
            not place.missing and (place.path in roots or place.path.startswith(inside))
            for place in model.locations
        )
    ]


def _document(
    app: App, registry: ModelRegistry, stats: DiscoveryStats, models: Sequence[ModelConfig]
) -> Iterator[bytes]:
    """The scan as one JSON object: the counters, what went wrong, and the records of the models."""
    from attrs import asdict

    told = json.dumps(asdict(stats), indent=2)
    yield told.rstrip("}\n").encode() + b',\n  "models": '
    yield json.dumps(app.as_json(registry, models), indent=2).replace("\n", "\n  ").encode() + b"\n}\n"


def _report(
    screen: Screen, stats: DiscoveryStats, models: Sequence[ModelConfig], registry: ModelRegistry
) -> None:
    from modelshelf.cli.models import show_table

    if models:
        default = registry.default()
        show_table(screen, models[:_MOST_ROWS], default.id if default else None)
        _more(screen, len(models) - _MOST_ROWS, "modelshelf ls")
    _report_findings(screen, models)
    _report_unfinished(screen, stats)
    _report_problems(screen, stats)
    if models or stats.problems or stats.unfinished:
        screen.line()
    screen.line(counters(stats))
    if not stats.models_found:
        screen.line("No models there; `modelshelf why PATH` tells what was seen in a file or folder.")


def _report_findings(screen: Screen, models: Sequence[ModelConfig]) -> None:
    from modelshelf.cli.models import HEALTH_STYLES, worst_finding
    from modelshelf.display import Cell
    from modelshelf.model import HealthStatus

    for status in (HealthStatus.UNHEALTHY, HealthStatus.DEGRADED):
        ill = [model for model in models if model.health_status is status]
        if not ill:
            continue
        screen.heading(str(status).capitalize())
        for model in ill[:_MOST_FINDINGS]:
            screen.item(Cell(model.id, HEALTH_STYLES[status]), worst_finding(model.findings))
        _more(screen, len(ill) - _MOST_FINDINGS, f"modelshelf ls --health {status}")


def _report_unfinished(screen: Screen, stats: DiscoveryStats) -> None:
    from modelshelf.display import Cell
    from modelshelf.model.quantity import format_bytes

    if not stats.unfinished:
        return
    screen.heading("Unfinished downloads")
    shown = [(format_bytes(one.size), one) for one in stats.unfinished[:_MOST_PROBLEMS]]
    widest = max(len(size) for size, _ in shown)
    for size, one in shown:
        screen.item(size.rjust(widest), one.path, Cell(one.reason, "dim"))
    _more(screen, len(stats.unfinished) - _MOST_PROBLEMS, "modelshelf scan --json")


def _report_problems(screen: Screen, stats: DiscoveryStats) -> None:
    from modelshelf.display import Cell

    if not stats.problems:
        return
    screen.heading("Problems")
    for one in stats.problems[:_MOST_PROBLEMS]:
        place = one.path or one.plugin
        screen.item(
            Cell(one.code, "yellow"), *([place] if place and place not in one.message else []), one.message
        )
    _more(screen, len(stats.problems) - _MOST_PROBLEMS, "modelshelf scan --json")


def _more(screen: Screen, count: int, command_line: str) -> None:
    if count > 0:
        screen.line(f"  … and {count} more, see `{command_line}`", "dim")


def counters(stats: DiscoveryStats) -> str:
    """The counters of a scan in words, on one line."""
    from modelshelf.model.quantity import format_bytes

    changes = [
        f"{count} {word}"
        for count, word in (
            (stats.models_added, "new"),
            (stats.models_updated, "updated"),
            (stats.models_unchanged, "unchanged"),
            (stats.models_missing, "missing"),
        )
        if count
    ]
    trouble = [
        _counted(count, word)
        for count, word in ((stats.unfinished_downloads, "unfinished download"), (stats.errors, "error"))
        if count
    ]
    found = f"{_counted(stats.models_found, 'model')} in {_counted(stats.total_scanned, 'folder')}"
    told = f"{found}: {', '.join(changes)}" if changes else found
    read = f"{format_bytes(stats.bytes_read)} read in {stats.seconds:.2f} s"
    return "; ".join([told, *trouble, read]) + "."


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
