"""``modelshelf scan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.options import depth_option, json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.model import DiscoveryStats, ModelConfig, Problem
    from modelshelf.registry.discovery import ModelDiscovery
    from modelshelf.source import Place
    from modelshelf.store import Snapshot

_MOST_ROWS = 200
_MOST_FINDINGS = 20
_MOST_PROBLEMS = 10


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path())
@depth_option
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of workers.")
@click.option("--force", is_flag=True, help="Read unchanged models again.")
@click.option("--everything", is_flag=True, help="Look into packages and caches too.")
@json_option
@click.pass_obj
def command(
    app: App, /, *, paths: tuple[str, ...], workers: int | None, as_json: bool, **options: Any
) -> int:
    """Find models in each PATH and record what each is and whether it is sound.

    Without a PATH the configured places are scanned. Models whose files did not change are not opened
    again, unless nobody looked at them so deeply before. Depth full also looks into files that no model's
    name ends like. Environments and packages of Python, node_modules, .git and caches are passed over unless
    a PATH names them. Exit code 1: something could not be scanned, a model is unhealthy, or a
    check of one did not finish.
    """
    from attrs import asdict

    from modelshelf.cli.progress import progress

    with app.discovery() as registry:
        places = chosen_places(app, registry, paths)
        with progress() as show:
            stats = registry.discover_models(
                places, workers=workers or app.settings.workers, progress=show, **options
            )
        roots = [one.root for one in places]
        if as_json:
            app.write_json(
                {
                    **asdict(stats),
                    "models": app.as_json(registry, _records(registry, _below(registry, roots))),
                }
            )
        else:
            _report(app.screen, stats, roots, registry)
        failed = any(status != "degraded" for _, _, status in _not_well(registry, roots))
    return int(stats.errors > 0 or failed)


def chosen_places(app: App, registry: ModelDiscovery, paths: Sequence[str]) -> list[Place]:
    """The places that a person named, else those of the settings and of every tool that is present.

    Raises:
        click.UsageError: There is none.
    """
    named = [registry.place(one) for one in paths]
    if not named:
        named = [registry.place(one) for one in app.settings.paths]
        roots = {one.root for one in named}
        present = [one for one in registry.places() if one.present or registry.is_offline(one.root)]
        named += [one for one in present if one.root not in roots]
    if not named:
        raise click.UsageError("no place is configured and no known tool keeps models here: name a PATH")
    return named


def _below(registry: ModelDiscovery, roots: Sequence[str], most: int | None = None) -> list[tuple[str, str]]:
    """Id and version of the models whose files lie in the places, sorted; the first `most` by path."""
    from modelshelf.records.read import RecordReader

    def look(state: Snapshot) -> list[tuple[str, str]]:
        reader = RecordReader(state)
        found: dict[tuple[str, str], None] = {}
        for root in roots:
            for one in reader.models_below(root):
                found[one] = None
                if len(found) == most:
                    return sorted(found)
        return sorted(found)

    return registry.store.view(look)


def _records(registry: ModelDiscovery, named: Sequence[tuple[str, str]]) -> Iterator[ModelConfig]:
    """The records of these ids and versions, as far as they are still there; one in memory at a time."""
    from modelshelf.records.read import RecordReader

    def reading(model_id: str, version: str) -> Callable[[Snapshot], ModelConfig | None]:
        return lambda state: RecordReader(state).model(model_id, version)

    for model_id, version in named:
        model = registry.store.view(reading(model_id, version))
        if model is not None:
            yield model


def _not_well(registry: ModelDiscovery, roots: Sequence[str]) -> list[tuple[str, str, str]]:
    """Id, version and status of the models there that are not healthy, sorted, each once."""
    from modelshelf.records.read import RecordReader

    return registry.store.view(
        lambda state: sorted({one for root in roots for one in RecordReader(state).unhealthy_below(root)})
    )


def _report(screen: Screen, stats: DiscoveryStats, roots: Sequence[str], registry: ModelDiscovery) -> None:
    from modelshelf.cli.models import show_table
    from modelshelf.records.read import RecordReader

    shown = _below(registry, roots, _MOST_ROWS)
    models = registry.store.view(
        lambda state: [one for named in shown if (one := RecordReader(state).summary(*named)) is not None]
    )
    if models:
        show_table(screen, models, registry)
        if len(shown) == _MOST_ROWS:
            _more(screen, stats.models_found - len(models), "modelshelf ls")
    _report_findings(screen, _not_well(registry, roots), registry)
    _report_unfinished(screen, stats)
    _report_orphans(screen, stats)
    _report_problems(screen, stats)
    if models or stats.problems or stats.unfinished or stats.orphans:
        screen.line()
    screen.line(counters(stats))
    if not stats.models_found:
        screen.line("No models there; `modelshelf why PATH` says what was found in a file or folder.")


def _report_findings(screen: Screen, ill: Sequence[tuple[str, str, str]], registry: ModelDiscovery) -> None:
    """What is wrong, the worst verdict first, and of each verdict the first models."""
    from modelshelf.cli.models import verdict, worst_finding
    from modelshelf.display import Cell
    from modelshelf.model.status import VERDICTS

    by_verdict: dict[str, list[tuple[str, str]]] = {}
    for model in _records(registry, [(model_id, version) for model_id, version, _ in ill]):
        by_verdict.setdefault(model.verdict, []).append((model.id, worst_finding(model)))
    for word in VERDICTS:
        found = by_verdict.get(word, [])
        if not found or word == "healthy":
            continue
        screen.heading(word.capitalize())
        screen.items(
            [(Cell(model_id, verdict(word).style), text) for model_id, text in found[:_MOST_FINDINGS]]
        )
        _more(screen, len(found) - _MOST_FINDINGS, f"modelshelf ls --verdict {word.replace(' ', '-')}")


def _report_unfinished(screen: Screen, stats: DiscoveryStats) -> None:
    from modelshelf.display import Cell
    from modelshelf.model.quantity import format_bytes

    if not stats.unfinished:
        return
    screen.heading("Unfinished downloads")
    shown = stats.unfinished[:_MOST_PROBLEMS]
    screen.items([(Cell(format_bytes(one.size)), f"{one.path}: {one.reason}") for one in shown], right=True)
    _more(screen, len(stats.unfinished) - _MOST_PROBLEMS, "modelshelf scan --json")


def _report_orphans(screen: Screen, stats: DiscoveryStats) -> None:
    from modelshelf.display import Cell
    from modelshelf.model.quantity import format_bytes

    if not stats.orphans:
        return
    screen.heading(f"Files that no model uses: {format_bytes(sum(one.size for one in stats.orphans))}")
    shown = stats.orphans[:_MOST_PROBLEMS]
    screen.items([(Cell(format_bytes(one.size)), f"{one.path}: {one.reason}") for one in shown], right=True)
    _more(screen, len(stats.orphans) - _MOST_PROBLEMS, "modelshelf scan --json")


def _report_problems(screen: Screen, stats: DiscoveryStats) -> None:
    from modelshelf.display import Cell

    if not stats.problems:
        return
    screen.heading("Problems")
    shown = stats.problems[:_MOST_PROBLEMS]
    screen.items([(Cell(one.code, "yellow"), _with_place(one)) for one in shown])
    _more(screen, len(stats.problems) - _MOST_PROBLEMS, "modelshelf scan --json")


def _with_place(problem: Problem) -> str:
    place = problem.path or problem.plugin
    return f"{place}: {problem.message}" if place and place not in problem.message else problem.message


def _more(screen: Screen, count: int, command_line: str) -> None:
    if count > 0:
        screen.line(f"  … and {count} more, see `{command_line}`", "dim")


def counters(stats: DiscoveryStats) -> str:
    """The counters of a scan in words, on one line."""
    from modelshelf.model.quantity import format_bytes
    from modelshelf.scan.passing import PASSED_OVER

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
    links = sum(one.code != PASSED_OVER for one in stats.passed_over)
    folders = len(stats.passed_over) - links
    passed = [_counted(count, word) for count, word in ((folders, "folder"), (links, "link")) if count]
    trouble += [f"{' and '.join(passed)} passed over"] if passed else []
    found = f"{_counted(stats.models_found, 'model')} in {_counted(stats.total_scanned, 'folder')}"
    summary = f"{found}: {', '.join(changes)}" if changes else found
    read = f"{format_bytes(stats.bytes_read)} read in {stats.seconds:.2f} s"
    return "; ".join([summary, *trouble, read]) + "."


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
