"""Every change becomes one structured log record, and one call of the observers."""

from __future__ import annotations

import logging

from modelshelf.model import EventKind, ModelEvent

log = logging.getLogger("modelshelf.events")

QUIET = frozenset({EventKind.USED})
"""Kinds of events that observers are not told."""


def log_event(event: ModelEvent) -> None:
    """Log an event, with its fields in ``extra``: ``event``, ``model_id``, ``model_version``, ``details``."""
    log.log(
        logging.DEBUG if event.kind in QUIET else logging.INFO,
        "%s: %s %s",
        event.kind,
        event.model_id,
        event.version or "",
        extra={
            "event": event.kind.value,
            "model_id": event.model_id,
            "model_version": event.version,
            "details": event.details,
        },
    )
