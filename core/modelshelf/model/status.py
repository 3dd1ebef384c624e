"""What is known of a model's health, in one word."""

from __future__ import annotations

from enum import Enum


class HealthStatus(Enum):
    """What is known of a model's health.

    ``loading`` is set by the server that loads the model; a scan gives the others.
    """

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    LOADING = "loading"

    def __str__(self) -> str:
        return self.value
