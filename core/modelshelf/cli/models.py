"""How models are shown to people: one row each, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.display import UNKNOWN, Cell, Column
from modelshelf.model.quantity import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelshelf.cli.screen import Screen
    from modelshelf.model import Finding
    from modelshelf.sealed import Summary

_HEALTH_STYLES = {
    "unknown": "dim",
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
    "loading": "cyan",
}

_COLUMNS = (
    Column("ID", gives_way=True),
    Column("VERSION"),
    Column("FORMAT", gives_way=True),
    Column("ARCH", gives_way=True),
    Column("QUANT", gives_way=True),
    Column("PARAMS", right=True),
    Column("CONTEXT", right=True),
    Column("SIZE", right=True),
    Column("HEALTH"),
    Column("NOTE", optional=True),
)


def show_table(screen: Screen, models: Iterable[Summary], default_id: str | None = None) -> None:
    """Write one row per model; the column NOTE holds what is out of the ordinary."""
    screen.table(_COLUMNS, [_row(model, default_id) for model in models])


def _row(model: Summary, default_id: str | None) -> tuple[str | Cell, ...]:
    notes = (
        ("default", model.id == default_id),
        ("missing", model.missing),
        ("disabled", not model.enabled),
    )
    return (
        model.id,
        model.version,
        model.format or UNKNOWN,
        model.architecture or UNKNOWN,
        model.quantization or UNKNOWN,
        model.parameter_count or UNKNOWN,
        UNKNOWN if model.context_length is None else str(model.context_length),
        UNKNOWN if model.size_bytes is None else format_bytes(model.size_bytes),
        health(model.health_status),
        ", ".join(name for name, holds in notes if holds),
    )


def health(status: str) -> Cell:
    """A health status in its colour."""
    return Cell(status, _HEALTH_STYLES.get(status))


def finding(one: Finding) -> str:
    """A finding in one line: its code, what it is, and where, as far as the message does not say so."""
    places = [one.file] if one.file and one.file not in one.message else []
    if one.offset is not None and str(one.offset) not in one.message:
        places.append(f"byte {one.offset}")
    return f"{one.code}: {one.message}" + (f" ({', '.join(places)})" if places else "")


def worst_finding(findings: Sequence[Finding]) -> str:
    """The first, which is the worst, finding in one line, and how many more there are."""
    if not findings:
        return "no finding is recorded"
    more = f" (+{len(findings) - 1} more)" if len(findings) > 1 else ""
    return finding(findings[0]) + more
