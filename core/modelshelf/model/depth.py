"""How deep a look into a model goes."""

from __future__ import annotations

from enum import Enum


class Depth(Enum):
    """How deep a probe looks: sizes and shards; headers; every byte with checksums and the real loader."""

    QUICK = "quick"
    HEADER = "header"
    FULL = "full"

    def __str__(self) -> str:
        return self.value

    def reaches(self, other: Depth) -> bool:
        """Whether a probe of this depth covers everything that a probe of the other depth covers."""
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER = tuple(Depth)
