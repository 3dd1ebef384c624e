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

_STATE_STYLES = {"loaded": "green", "failing": "red", "disabled": "dim", "failed": "red"}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, /, *, as_json: bool) -> int:
    """List the plugins: what each offers, whether it was loaded, and what failed.

    A plugin is failing if one of its hooks failed each time that it was called. Failures in scans are
    those that the store remembers; `modelshelf scan --force` asks the plugins again. With -vv the log has
    the tracebacks of what fails now. Exit code 1: a plugin failed.
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
    plugins = PluginSet.discover(app.plugin_files, blocked=app.settings.disable_plugins)
    for hook in ("formats", "serializers", "sources", "stores", "commands"):
        plugins.collect(f"modelshelf_{hook}")
    in_scans = _failures_in_scans(app)
    for report in plugins.reports:
        for failure in in_scans:
            if failure.plugin == report.plugin and report.state is not PluginState.DISABLED:
                report.add(failure)
                if failure.always and failure.version == report.version:
                    report.mark_failing(failure.hook, failing=True)
    if as_json:
        app.write_json([_as_dict(report) for report in plugins.reports])
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


def _as_dict(report: PluginReport) -> dict[str, object]:
    from attrs import asdict

    return asdict(
        report,
        filter=lambda field, _value: not field.name.startswith("_"),
        value_serializer=lambda _owner, _field, value: getattr(value, "value", value),
    )


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
    failures = [str(failure) for report in reports for failure in report.failures]
    warnings = [f"{report.plugin}: {warning}" for report in reports for warning in report.warnings]
    for heading, lines in (("Failures", failures), ("Warnings", warnings)):
        if lines:
            screen.heading(heading)
            for line in lines:
                screen.item(line)
