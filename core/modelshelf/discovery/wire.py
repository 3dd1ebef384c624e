"""Artifacts and examinations as bytes, on their way between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.discovery.examine import Examination
from modelshelf.model import Artifact, Depth
from modelshelf.sealed import pack, unpack
from modelshelf.serde import converter

if TYPE_CHECKING:
    from collections.abc import Sequence


def pack_artifacts(
    artifacts: Sequence[Artifact], depth: Depth, blocked: frozenset[str], hook_seconds: float
) -> bytes:
    """Artifacts on their way to another process, with what it must know of the plugins.

    Args:
        blocked: Names of the plugins that it must not load.
        hook_seconds: Time after which it ends a hook.
    """
    return pack(
        [depth.value, sorted(blocked), hook_seconds, converter().unstructure(list(artifacts), list[Artifact])]
    )


def unpack_artifacts(data: bytes) -> tuple[list[Artifact], Depth, frozenset[str], float]:
    """What `pack_artifacts` packed."""
    depth, blocked, hook_seconds, artifacts = unpack(data)
    return converter().structure(artifacts, list[Artifact]), Depth(depth), frozenset(blocked), hook_seconds


def pack_examinations(examinations: Sequence[Examination]) -> bytes:
    """Examinations on their way back from another process."""
    return pack(converter().unstructure(list(examinations), list[Examination]))


def unpack_examinations(data: bytes) -> list[Examination]:
    """What `pack_examinations` packed."""
    return converter().structure(unpack(data), list[Examination])
