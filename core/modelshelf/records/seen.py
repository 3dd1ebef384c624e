"""What earlier scans made of a path."""

from __future__ import annotations

from typing import Any, Self

from attrs import frozen

from modelshelf.model.depth import Depth
from modelshelf.model.version import ModelVersion


@frozen(kw_only=True)
class PathEntry:
    """What an earlier scan made of a path.

    Attributes:
        fingerprint: Digest of the stat data then.
        model_id: The record's id, or None where the path was rejected.
        version: The record's version.
        missing: Whether the files were gone at the last scan.
        depth: How deep the last look into the files went.
        code: Why it was rejected, or None.
        message: The same for a person.
    """

    fingerprint: bytes
    model_id: str | None = None
    version: ModelVersion | None = None
    missing: bool = False
    depth: Depth = Depth.HEADER
    code: str | None = None
    message: str | None = None

    @classmethod
    def of_model(cls, value: list[Any]) -> Self:
        """Out of the table of locations."""
        fingerprint, model_id, version, missing, *added = value
        return cls(
            fingerprint=fingerprint,
            model_id=model_id,
            version=ModelVersion.parse(version),
            missing=bool(missing),
            depth=Depth(added[0]) if len(added) > 1 else Depth.HEADER,  # the path is the last
        )

    @classmethod
    def of_rejected(cls, value: list[Any]) -> Self:
        """Out of the table of rejections."""
        fingerprint, code, message, *_ = value
        return cls(fingerprint=fingerprint, code=code, message=message)
