"""How log records are written: one line of text, or one JSON object with the record's own fields.

The library logs through `logging` and configures nothing; a program, the command line included, calls
`configure` once. The formatters are written by hand, a few lines each: those of packages for JSON logs let
through what a record's own values raise, and text as it is.
"""

from __future__ import annotations

import logging
import math
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from modelshelf.display import neutral

_DEEPEST = 8  # levels of nested values that are written; what lies deeper is written as text
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time level logger message``, the fields given in ``extra``, ``exception``.

    Everything beyond ASCII is escaped, so that no byte of a hostile name reaches a terminal or a collector
    as it is. A value that JSON has no word for is written as text; no record makes the formatter raise.
    A field of ``extra`` that is named like one of the record's own four is left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        import json

        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                fields.setdefault(name, _as_json(value))
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class TextFormatter(logging.Formatter):
    """One line a record, ``modelshelf: warning: message``, with hostile characters made visible.

    A traceback follows on lines of its own, indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of text."""
        text = f"modelshelf: {record.levelname.lower()}: {neutral(_message(record))}"
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            text += "".join(f"\n    {neutral(line)}" for line in lines)
        return text


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at the moment, so that a progress bar can step aside."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # StreamHandler's own would set the stream once

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The stream of the moment."""
        return sys.stderr


def configure(style: str = "text", verbosity: int = 0) -> None:
    """Send Modelshelf's log records to standard error.

    Args:
        style: ``text`` or ``json``.
        verbosity: 0 for warnings and errors, 1 for every change, 2 for everything.
    """
    handler = StandardErrorHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    log = logging.getLogger("modelshelf")
    log.handlers[:] = [handler]
    log.setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
    log.propagate = False


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - an argument's own __str__ may do anything
        return f"{record.msg} (its arguments cannot be written: {type(error).__name__})"


def _as_json(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth < _DEEPEST:
        if isinstance(value, dict):
            return {str(key): _as_json(one, depth + 1) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_as_json(one, depth + 1) for one in value]
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - as in _message
        return f"a {type(value).__name__} that cannot be written: {type(error).__name__}"
