"""What to look for in a registry."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from modelshelf.errors import InvalidValueError
from modelshelf.model.status import VERDICTS, HealthStatus

SORT_KEYS = (
    "id",
    "version",
    "size",
    "parameters",
    "context",
    "format",
    "quantization",
    "kind",
    "health",
    "used",
    "added",
)


def _folded(value: str | None) -> str | None:
    return None if value is None else value.casefold()


def _status(value: HealthStatus | str | None) -> HealthStatus | None:
    try:
        return None if value is None else HealthStatus(value)
    except ValueError:
        names = ", ".join(one.value for one in HealthStatus)
        raise InvalidValueError(f"unknown health status {value!r}: use one of {names}") from None


def _verdict(value: str | None) -> str | None:
    word = None if value is None else value.casefold().replace("-", " ").replace("_", " ")
    if word is not None and word not in VERDICTS:
        raise InvalidValueError(f"unknown verdict {value!r}: use one of {', '.join(VERDICTS)}")
    return word


@frozen(kw_only=True)
class Query:
    """Conditions that a model meets all of; None asks nothing. Text is compared without regard to case.

    Attributes:
        text: A part of the id, display name, title or path.
        format: The format's name.
        architecture: The architecture's name.
        quantization: The quantization's name.
        health: The health status, as `HealthStatus` or its name.
        kind: What the model is for, as `Kind` or its name.
        capability: One of the capabilities.
        modality: One of what goes in or comes out: text, image, audio, video.
        verdict: The verdict as people see it, one of `modelshelf.model.status.VERDICTS`.
        tag: One of the tags.
        source: The source's name.
        license: The licence.
        enabled: Whether it is enabled.
        missing: Whether its files are gone.
        min_parameters: Fewest parameters.
        max_parameters: Most parameters.
        min_context: Shortest context length, in tokens.
        all_versions: Whether older versions are listed beside the current one.
        sort: One of `SORT_KEYS`.
        descending: Whether the order is turned round.
        limit: Most models to give, or None.
    """

    text: str | None = field(default=None, converter=_folded)
    format: str | None = field(default=None, converter=_folded)
    architecture: str | None = field(default=None, converter=_folded)
    quantization: str | None = field(default=None, converter=_folded)
    health: HealthStatus | None = field(default=None, converter=_status)
    kind: str | None = field(default=None, converter=_folded)
    capability: str | None = field(default=None, converter=_folded)
    modality: str | None = field(default=None, converter=_folded)
    verdict: str | None = field(default=None, converter=_verdict)
    tag: str | None = field(default=None, converter=_folded)
    source: str | None = field(default=None, converter=_folded)
    license: str | None = field(default=None, converter=_folded)
    enabled: bool | None = None
    missing: bool | None = None
    min_parameters: int | None = None
    max_parameters: int | None = None
    min_context: int | None = None
    all_versions: bool = False
    sort: str = field(default="id")
    descending: bool = False
    limit: int | None = field(default=None)

    @sort.validator
    def _check_sort(self, _attribute: Any, value: str) -> None:
        if value not in SORT_KEYS:
            raise InvalidValueError(f"cannot sort by {value!r}: use one of {', '.join(SORT_KEYS)}")

    @limit.validator
    def _check_limit(self, _attribute: Any, value: int | None) -> None:
        if value is not None and (type(value) is not int or value < 0):
            raise InvalidValueError(f"limit must be an integer of 0 or more, not {value!r}")
