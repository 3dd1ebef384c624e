"""``modelshelf plugins``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import json_option
from modelshelf.cli.scaffold import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.report import PluginReport

_STATE_STYLES = {"loaded": "green", "disabled": "dim", "failed": "red"}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, /, *, as_json: bool) -> int:
    """List the plugins: what each offers, whether it was loaded, and what failed.

    What failed over single models in scans is told as the store remembers it; `modelshelf scan --force`
    asks again. Exit code 1: a plugin failed.
    """
    return _list(context.obj, as_json=as_json) if context.invoked_subcommand is None else 0


@command.command("new")
@click.argument("name", metavar="NAME")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin offers.")
@click.option(
    "--into",
    metavar="DIR",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder to write the new one into; the working directory by default.",
)
@click.pass_obj
def new(app: App, /, *, name: str, kind: str, into: Path) -> None:
    """Write a small distribution that offers a format, source, store or serializer.

    It installs and passes its tests, which run the conformance kit, as it is.
    """
    from modelshelf.cli.scaffold import write_plugin

    for path in write_plugin(name, kind, into):
        app.screen.line(str(path))


def _list(app: App, *, as_json: bool) -> int:
    from modelshelf.plugin.call import PluginSet
    from modelshelf.plugin.report import PluginState, failed

    # Descriptors are asked for too, so that a hook which fails when it is called is found here.
    plugins = PluginSet.discover(blocked=app.settings.disable_plugins)
    for hook in ("formats", "serializers", "sources", "stores", "commands"):
        plugins.collect(f"modelshelf_{hook}")
    remembered = _failures_in_scans(app)
    for report in plugins.reports:
        for failure in remembered:
            if failure.plugin == report.plugin and report.state is not PluginState.DISABLED:
                report.record(failure.hook, failure.reason, failure.path)
    if as_json:
        app.write_json([_plain(report) for report in plugins.reports])
    else:
        _show(app.screen, plugins.reports)
    return int(bool(failed(plugins.reports)))


def _failures_in_scans(app: App) -> list[PluginFailure]:
    from modelshelf.errors import StoreError

    try:
        with app.registry(readonly=True) as registry:
            return registry.scan_failures()
    except StoreError:  # the plugins are shown whatever the store is like, its own plugin's failure included
        return []


def _plain(report: PluginReport) -> dict[str, object]:
    from attrs import asdict

    return asdict(report, value_serializer=lambda _owner, _field, value: getattr(value, "value", value))


def _show(screen: Screen, reports: Sequence[PluginReport]) -> None:
    from modelshelf.display import UNKNOWN, Cell, Column

    columns = (
        Column("PLUGIN"),
        Column("VERSION"),
        Column("DISTRIBUTION"),
        Column("STATE"),
        Column("LOADED IN", right=True),
        Column("HOOKS", wraps=True),
    )
    screen.table(
        columns,
        [
            (
                report.name,
                report.version or UNKNOWN,
                report.distribution or UNKNOWN,
                Cell(str(report.state), _STATE_STYLES[report.state.value]),
                f"{report.load_seconds * 1000:.0f} ms",
                ", ".join(hook.removeprefix("modelshelf_") for hook in report.hooks) or UNKNOWN,
            )
            for report in reports
        ],
    )
    failures = [failure for report in reports for failure in report.failures]
    if failures:
        screen.heading("Failures")
        for failure in failures:
            screen.item(str(failure))
