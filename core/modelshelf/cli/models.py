"""How models are shown to people: one row each, and what is wrong with them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from modelshelf.display import UNKNOWN, Cell, Column
from modelshelf.model.quantity import format_bytes
from modelshelf.model.status import current_verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelshelf.cli.screen import Screen
    from modelshelf.model import Finding, ModelConfig
    from modelshelf.records.summary import Summary
    from modelshelf.registry.listing import ModelListing

_VERDICT_STYLES = {
    "offline": "dim",
    "missing": "dim",
    "unsafe": "red",
    "damaged": "red",
    "incomplete": "red",
    "doubtful": "yellow",
    "foreign": "dim",
    "not judged": "yellow",
    "healthy": "green",
}

_COLUMNS = (
    Column("ID", gives_way=True, least=24),
    Column("VERSION", expendable=True),
    Column("KIND", gives_way=True),
    Column("FORMAT", gives_way=True, expendable=True),
    Column("ARCH", gives_way=True, expendable=True),
    Column("QUANT", gives_way=True),
    Column("PARAMS", right=True),
    Column("CONTEXT", right=True, expendable=True),
    Column("SIZE", right=True),
    Column("VERDICT"),
    Column("", optional=True),
)
_DEFAULT = "*"


def show_table(screen: Screen, models: Sequence[Summary], listing: ModelListing) -> None:
    """Write one row per model; a star marks the default."""
    default_id = listing.default_id()
    screen.table(
        _COLUMNS,
        zip(
            [one.id for one in models],
            [one.version for one in models],
            [one.kind or UNKNOWN for one in models],
            [one.format or UNKNOWN for one in models],
            [one.architecture or UNKNOWN for one in models],
            [one.quantization or UNKNOWN for one in models],
            [one.parameter_count or UNKNOWN for one in models],
            [UNKNOWN if one.context_length is None else str(one.context_length) for one in models],
            [UNKNOWN if one.size_bytes is None else format_bytes(one.size_bytes) for one in models],
            [verdict(current_verdict(one), one.enabled) for one in models],
            [_DEFAULT if one.id == default_id else "" for one in models],
            strict=True,
        ),
    )


@lru_cache(maxsize=64)  # there are few, and a row for each of many models
def verdict(word: str, enabled: bool = True) -> Cell:
    """A verdict in its colour, and beside it whether the model is disabled."""
    return Cell(word if enabled else f"{word}, disabled", _VERDICT_STYLES.get(word))


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
    # Beside the model's id the name of the file that it is loaded by is nothing new.
    message = (
        worst.message.removeprefix(f"{worst.file}: ")
        if model.path.endswith(f"/{worst.file}")
        else worst.message
    )
    return message + (f" (+{len(model.findings) - 1} more)" if len(model.findings) > 1 else "")
