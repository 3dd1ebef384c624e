"""``modelshelf watch``."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
import click

from modelshelf.cli.screen import complain

if TYPE_CHECKING:
    from modelshelf.cli.app import App
    from modelshelf.model import DiscoveryStats, ModelEvent
    from modelshelf.source import Place


class _Teller:
    """An observer of changes that prints each in one line."""

    def __init__(self, app: App, *, as_json: bool) -> None:
        self._app = app
        self._as_json = as_json

    def modelshelf_model_changed(self, event: ModelEvent) -> None:
        """Tell a change."""
        if self._as_json:
            record = {"time": int(time.time()), **attrs.asdict(event), "kind": event.kind.value}
            self._app.write([json.dumps(record).encode() + b"\n"])
            return
        where = event.details.get("path") or ""
        line = f"{time.strftime('%H:%M:%S')}  {event.kind.value:15}  {event.model_id} {event.version or ''}"
        self._app.screen.line(f"{line}  {where}".rstrip())


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path())
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long nothing must change before it is read.",
)
@click.option("--json", "as_json", is_flag=True, help="Write every change as one line of JSON.")
@click.pass_obj
def command(app: App, /, *, paths: tuple[str, ...], settle: float, as_json: bool) -> None:
    """Scan each PATH, then keep the records up to date while files come and go; Ctrl-C ends it.

    Without a PATH every place that a scan looks into is watched. A file is recorded once it stops growing; a
    model whose files are removed is marked missing, and offline where its whole volume went.
    """
    from modelshelf.cli.scan import chosen_places, counters
    from modelshelf.scan.watch import Watch

    with app.registry(plugins=[_Teller(app, as_json=as_json)]) as registry:
        places = registry.with_nested(chosen_places(app, registry, paths))

        def scan(place: Place | str) -> DiscoveryStats:
            return registry.discover_models(place, **_workers(app))

        watch = Watch(places, scan, settle=settle, ignored=registry.location)
        say = complain if as_json else app.screen.line
        say(f"Watching {len(places)} place{'' if len(places) == 1 else 's'}; Ctrl-C ends it.")
        sys.stdout.flush()
        for stats in watch.run():
            if stats.models_added or stats.models_updated or stats.models_missing or stats.errors:
                say(f"{time.strftime('%H:%M:%S')}  {counters(stats)}")
                sys.stdout.flush()  # whoever reads it through a pipe waits for it now


def _workers(app: App) -> dict[str, Any]:
    return {"workers": app.settings.workers} if app.settings.workers else {}
