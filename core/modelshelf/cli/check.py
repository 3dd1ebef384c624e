"""``modelshelf check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import complete_id, depth_option, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.model import HealthReport


@click.command()
@click.argument("model_ids", nargs=-1, metavar="[ID]...", shell_complete=complete_id)
@depth_option
@json_option
@click.pass_obj
def command(app: App, *, model_ids: tuple[str, ...], depth: str, as_json: bool) -> int:
    """Look at each model ID again, or at all of them, and record their health.

    Exit code 1: a model is unhealthy, a check did not finish, or there is no such model.
    """
    with app.registry(makes_store=False) as registry:
        named = [registry.resolve(one).id for one in model_ids]
        reports = registry.check(named or None, depth=depth)
    if as_json:
        app.write_json({model_id: _as_json(report) for model_id, report in reports.items()})
    else:
        _show(app.screen, reports)
    return int(any(_failed(report) for report in reports.values()))


def _failed(report: HealthReport) -> bool:
    """Whether a model is unhealthy, or a check of it did not finish."""
    from modelshelf.model import HealthStatus
    from modelshelf.model.health import is_unfinished

    return is_unfinished(report.findings) or report.status is HealthStatus.UNHEALTHY


def _as_json(report: HealthReport) -> dict[str, object]:
    from attrs import asdict

    values = asdict(report, value_serializer=lambda _owner, _field, value: getattr(value, "value", value))
    return {**values, "verdict": report.verdict}


def _show(screen: Screen, reports: Mapping[str, HealthReport]) -> None:
    from collections import Counter

    from modelshelf.cli.models import finding, verdict
    from modelshelf.display import Column

    if reports:
        screen.table(
            (Column("ID", gives_way=True), Column("VERDICT"), Column("FINDINGS", right=True)),
            [
                (model_id, verdict(report.verdict), str(len(report.findings)))
                for model_id, report in reports.items()
            ],
        )
    for model_id, report in reports.items():
        if report.findings:
            screen.heading(model_id)
            for one in report.findings:
                screen.item(f"{one.severity}: {finding(one)}")
    counts = Counter(report.verdict for report in reports.values())
    screen.line()
    counted = ", ".join(f"{count} {status}" for status, count in counts.most_common()) or "none is recorded"
    screen.line(f"{len(reports)} models checked: {counted}.")
