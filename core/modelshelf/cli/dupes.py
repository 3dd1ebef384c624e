"""``modelshelf dupes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelshelf.cli.options import json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App
    from modelshelf.cli.screen import Screen
    from modelshelf.records.space import Duplicate


@click.command()
@json_option
@click.pass_obj
def command(app: App, /, *, as_json: bool) -> None:
    """Show models whose weights take up space more than once, and what one copy less would free.

    Links are no copies: every inode counts once. Nothing is deleted; that is yours to do, and the next
    scan notices it.
    """
    from attrs import asdict

    from modelshelf.records.space import duplicates

    with app.registry(readonly=True) as registry:
        found = duplicates(registry.every_version())
    if as_json:
        app.write_json(
            {"freeable": sum(one.freeable for one in found), "models": [asdict(one) for one in found]}
        )
    elif found:
        _show(app.screen, found)
    else:
        app.screen.line("No recorded model takes up space twice.")


def _show(screen: Screen, found: list[Duplicate]) -> None:
    from modelshelf.cli.bars import BAR, bar
    from modelshelf.display import Cell, Column
    from modelshelf.model.quantity import format_bytes

    total = sum(one.freeable for one in found)
    columns = (
        Column("ID", gives_way=True),
        Column("COPIES", right=True),
        Column("SIZE", right=True),
        Column("FREEABLE", right=True),
        BAR,
    )
    screen.table(
        columns,
        [
            (
                one.id,
                str(len(one.copies)),
                format_bytes(max(copy.bytes for copy in one.copies)),
                format_bytes(one.freeable),
                bar(one.freeable, found[0].freeable, total),
            )
            for one in found
        ],
    )
    for one in found:
        screen.heading(one.id if one.confirmed else f"{one.id}: probable copies")
        screen.items(
            [(Cell(_size_of(copy.own, copy.bytes)), f"{copy.path} ({copy.source})") for copy in one.copies],
            right=True,
        )
    screen.line()
    screen.line(f"{format_bytes(total)} could be freed.", "bold")
    if not all(one.confirmed for one in found):
        screen.line(
            "Of probable copies not all bytes were hashed; before you delete one, "
            "`modelshelf check --depth full` does."
        )


def _size_of(own: int, size: int) -> str:
    from modelshelf.model.quantity import format_bytes

    return format_bytes(size) if own else "linked"
