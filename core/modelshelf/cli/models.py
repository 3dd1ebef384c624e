"""How models are shown to people: one row each, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.display import UNKNOWN, Cell, Column
from modelshelf.model.quantity import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.cli.screen import Screen
    from modelshelf.lookup import ModelLookup
    from modelshelf.model import Finding, ModelConfig
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
    Column("VERSION", expendable=True),
    Column("FORMAT", gives_way=True),
    Column("ARCH", gives_way=True, expendable=True),
    Column("QUANT", gives_way=True),
    Column("PARAMS", right=True),
    Column("CONTEXT", right=True, expendable=True),
    Column("SIZE", right=True),
    Column("HEALTH"),
    Column("", optional=True),
)
_DEFAULT = "*"


def show_table(screen: Screen, models: Iterable[Summary], lookup: ModelLookup) -> None:
    """Write one row per model; a star marks the default."""
    default_id = lookup.default_id()
    screen.table(_COLUMNS, [_row(model, default_id) for model in models])


def _row(model: Summary, default_id: str | None) -> tuple[str | Cell, ...]:
    return (
        model.id,
        model.version,
        model.format or UNKNOWN,
        model.architecture or UNKNOWN,
        model.quantization or UNKNOWN,
        model.parameter_count or UNKNOWN,
        UNKNOWN if model.context_length is None else str(model.context_length),
        UNKNOWN if model.size_bytes is None else format_bytes(model.size_bytes),
        _state(model),
        _DEFAULT if model.id == default_id else "",
    )


def _state(model: Summary) -> Cell:
    """Health; where the files are gone that alone, because the health is what it was before."""
    if model.missing:
        return Cell("offline" if model.offline else "missing", "dim")
    shown = health(model.health_status)
    return shown if model.enabled else Cell(f"{shown.text}, disabled", shown.style)


def health(status: str) -> Cell:
    """A health status in its colour."""
    return Cell(status, _HEALTH_STYLES.get(status))


def finding(one: Finding) -> str:
    """A finding in one line: its code, what it is, and where, as far as the message does not say so."""
    places = [one.file] if one.file and one.file not in one.message else []
    if one.offset is not None and str(one.offset) not in one.message:
        places.append(f"byte {one.offset}")
    return f"{one.code}: {one.message}" + (f" ({', '.join(places)})" if places else "")


def worst_finding(model: ModelConfig) -> str:
    """The first, which is the worst, finding of a model in short, and how many more there are."""
    if not model.findings:
        return "no finding is recorded"
    worst = model.findings[0]
    # Beside the model's id the name of the file that it is loaded by tells nothing new.
    message = (
        worst.message.removeprefix(f"{worst.file}: ")
        if model.path.endswith(f"/{worst.file}")
        else worst.message
    )
    return message + (f" (+{len(model.findings) - 1} more)" if len(model.findings) > 1 else "")
