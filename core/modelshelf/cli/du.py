"""``modelshelf du``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.records.space import Share

_TITLES = {"source": "By store", "family": "By family", "quantization": "By quantization"}
_MOST_ROWS = 20


@click.command()
@click.option("--by", type=click.Choice(list(_TITLES)), help="One of the three alone.")
@json_option
@click.pass_obj
def command(app: App, /, *, by: str | None, as_json: bool) -> None:
    """Show where the space goes: by store, by family and by quantization.

    Counted are the bytes that files take up on their disks, each inode once: what is linked from several
    places counts once.
    """
    from attrs import asdict

    from modelshelf.records.space import shares

    with app.registry(readonly=True) as registry:
        models = list(registry.every_version())
    tables = {one: shares(models, one) for one in ([by] if by else _TITLES)}
    if as_json:
        app.write_json({name: [asdict(one) for one in found] for name, found in tables.items()})
        return
    for grouping, found in tables.items():
        _show(app.screen, _TITLES[grouping], found)
    if not any(tables.values()):
        app.screen.line("No file of a recorded model is there; `modelshelf scan` finds some.")


def _show(screen: Screen, title: str, found: list[Share]) -> None:
    from modelshelf.cli.bars import BAR, bar
    from modelshelf.display import Column
    from modelshelf.model.quantity import format_bytes

    if not found:
        return
    total = sum(one.bytes for one in found)
    screen.heading(f"{title}: {format_bytes(total)}")
    columns = (Column("NAME", gives_way=True), Column("MODELS", right=True), Column("SIZE", right=True), BAR)
    rows = [
        (one.name, str(one.models), format_bytes(one.bytes), bar(one.bytes, found[0].bytes, total))
        for one in found[:_MOST_ROWS]
    ]
    screen.table(columns, rows)
    if len(found) > _MOST_ROWS:
        rest = sum(one.bytes for one in found[_MOST_ROWS:])
        screen.line(f"  … and {len(found) - _MOST_ROWS} more with {format_bytes(rest)}, see --json", "dim")
