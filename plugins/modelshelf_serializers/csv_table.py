"""Write records as CSV (RFC 4180), safe to open in a spreadsheet and to print on a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from modelshelf.display import neutral

if TYPE_CHECKING:
    from modelshelf.model.config import ModelConfig

# A spreadsheet obeys the full-width signs too, and skips blanks before them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BLANKS = " \n\v\f\u00a0"

COLUMNS: dict[str, Callable[[ModelConfig], Any]] = {
    "id": lambda model: model.id,
    "version": lambda model: str(model.version),
    "display_name": lambda model: model.display_name,
    "path": lambda model: model.path,
    "source": lambda model: model.metadata.source,
    "format": lambda model: model.metadata.format,
    "architecture": lambda model: model.metadata.architecture,
    "quantization": lambda model: model.metadata.quantization,
    "kind": lambda model: model.metadata.kind,
    "input_modalities": lambda model: model.metadata.input_modalities,
    "output_modalities": lambda model: model.metadata.output_modalities,
    "capabilities": lambda model: model.metadata.capabilities,
    "parameters": lambda model: model.metadata.parameters,
    "parameter_count": lambda model: model.metadata.parameter_count,
    "context_length": lambda model: model.metadata.context_length,
    "size_bytes": lambda model: model.metadata.size_bytes,
    "license": lambda model: model.metadata.license,
    "tags": lambda model: model.metadata.tags,
    "created_at": lambda model: model.metadata.created_at,
    "health_status": lambda model: model.current_health.value,
    "findings": lambda model: tuple(finding.code for finding in model.findings),
    "enabled": lambda model: model.enabled,
    "preload": lambda model: model.preload,
    "max_workers": lambda model: model.max_workers,
    "max_tokens": lambda model: model.max_tokens,
    "temperature": lambda model: model.temperature,
    "use_count": lambda model: model.use_count,
    "last_used": lambda model: model.last_used,
    "missing": lambda model: model.missing,
    "locations": lambda model: len(model.locations),
    "added_at": lambda model: model.added_at,
    "updated_at": lambda model: model.updated_at,
}
"""Column names and their values; lists are joined by a semicolon, an unknown value is empty."""


def dump_csv(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    """Write a header line, then a line for each record; lines end in CR LF, text is UTF-8."""
    yield _line(list(COLUMNS))
    for model in models:
        yield _line([_cell(value(model)) for value in COLUMNS.values()])


def _line(cells: list[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode("utf-8")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return _text("; ".join(value))
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """Make a cell's text: one line without invisible characters, and with an apostrophe before a formula."""
    formula = text.lstrip(_BLANKS).startswith(_FORMULA)
    return f"'{neutral(text)}" if formula else neutral(text)
