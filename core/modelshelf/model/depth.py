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
        """Whether whoever looked this deep has seen what a look of the other depth sees."""
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER = tuple(Depth)
