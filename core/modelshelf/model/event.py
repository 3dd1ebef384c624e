"""What happened to a model, for observers and for the log."""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import field, frozen


class EventKind(Enum):
    """The kinds of change."""

    REGISTERED = "registered"
    UPDATED = "updated"
    HEALTH_CHANGED = "health changed"
    DEFAULT_CHANGED = "default changed"
    MISSING = "missing"
    MOVED = "moved"
    REMOVED = "removed"
    USED = "used"
    PLUGIN_FAILED = "plugin failed"

    def __str__(self) -> str:
        return self.value


@frozen(kw_only=True)
class ModelEvent:
    """One committed change.

    Attributes:
        kind: What happened.
        model_id: The model's id.
        version: Its version as text, or None.
        details: What changed: old and new values, JSON scalars only.
    """

    kind: EventKind
    model_id: str
    version: str | None = None
    details: dict[str, Any] = field(factory=dict)
