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
    artifacts: Sequence[Artifact], depth: Depth, blocked: frozenset[str] = frozenset()
) -> bytes:
    """Artifacts on their way to another process, with the names of the plugins that it must not load."""
    return pack([depth.value, sorted(blocked), converter().unstructure(list(artifacts), list[Artifact])])


def unpack_artifacts(data: bytes) -> tuple[list[Artifact], Depth, frozenset[str]]:
    """What `pack_artifacts` packed."""
    depth, blocked, artifacts = unpack(data)
    return converter().structure(artifacts, list[Artifact]), Depth(depth), frozenset(blocked)


def pack_examinations(examinations: Sequence[Examination]) -> bytes:
    """Examinations on their way back from another process."""
    return pack(converter().unstructure(list(examinations), list[Examination]))


def unpack_examinations(data: bytes) -> list[Examination]:
    """What `pack_examinations` packed."""
    return converter().structure(unpack(data), list[Examination])
