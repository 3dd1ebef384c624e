"""Which format wins, when several plugins vote. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf.model import Detection

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(kw_only=True)
class Vote:
    """One plugin's detection.

    Attributes:
        plugin: The plugin's display name.
        detection: Its vote.
    """

    plugin: str
    detection: Detection


def winner(votes: Iterable[Vote], suffix_formats: frozenset[str]) -> Vote | None:
    """The vote that counts: highest confidence, then the format whose suffix it is, then the first by name.

    Independent of the order of the votes. None where there is no vote, or only votes of confidence 0.
    """
    counted = [vote for vote in votes if vote.detection.confidence > 0]
    if len(counted) <= 1:
        return counted[0] if counted else None
    return min(
        counted,
        key=lambda vote: (
            -vote.detection.confidence,
            vote.detection.format not in suffix_formats,
            vote.detection.format,
            vote.plugin,
        ),
    )
