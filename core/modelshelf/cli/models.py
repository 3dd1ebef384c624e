"""How models are shown to people: one row each, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable

from modelshelf.cli.screen import Screen
from modelshelf.display import UNKNOWN, Cell, Column
from modelshelf.model import Finding, HealthStatus, ModelConfig
from modelshelf.model.quantity import format_bytes

HEALTH_STYLES = {
    HealthStatus.UNKNOWN: "dim",
    HealthStatus.HEALTHY: "green",
    HealthStatus.DEGRADED: "yellow",
    HealthStatus.UNHEALTHY: "red",
    HealthStatus.LOADING: "cyan",
}

_COLUMNS = (
    Column("ID", gives_way=True),
    Column("VERSION"),
    Column("FORMAT"),
    Column("ARCH"),
    Column("QUANT"),
    Column("PARAMS", right=True),
    Column("CONTEXT", right=True),
    Column("SIZE", right=True),
    Column("HEALTH"),
    Column("NOTE", optional=True),
)
_WIDEST_TOLD = 24  # cells of a value that a header or card tells: a hostile one must not push the rest away


def show_table(screen: Screen, models: Iterable[ModelConfig], default_id: str | None = None) -> None:
    """Write one row per model; the columns NOTE holds what is out of the ordinary."""
    screen.table(_COLUMNS, [_row(model, default_id) for model in models])


def _row(model: ModelConfig, default_id: str | None) -> tuple[str | Cell, ...]:
    told = model.metadata
    notes = (
        ("default", model.id == default_id),
        ("missing", model.missing),
        ("disabled", not model.enabled),
    )
    return (
        model.id,
        str(model.version),
        told.format or UNKNOWN,
        told.architecture or UNKNOWN,
        told.quantization or UNKNOWN,
        told.parameter_count or UNKNOWN,
        UNKNOWN if told.context_length is None else str(told.context_length),
        UNKNOWN if told.size_bytes is None else format_bytes(told.size_bytes),
        health(model.health_status),
        ", ".join(name for name, holds in notes if holds),
    )


def health(status: HealthStatus) -> Cell:
    """A health status in its colour."""
    return Cell(str(status), HEALTH_STYLES[status])


def finding(one: Finding) -> str:
    """A finding in one line: its code, what it is, and where, as far as the message does not say so."""
    places = [one.file] if one.file and one.file not in one.message else []
    if one.offset is not None and str(one.offset) not in one.message:
        places.append(f"byte {one.offset}")
    return f"{one.code}: {one.message}" + (f" ({', '.join(places)})" if places else "")


def worst_finding(findings: tuple[Finding, ...]) -> str:
    """The first, which is the worst, finding in one line, and how many more there are."""
    if not findings:
        return "no finding is recorded"
    more = f" (+{len(findings) - 1} more)" if len(findings) > 1 else ""
    return finding(findings[0]) + more
