"""Tensors by type and shape, without a file."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple


class Tensor(NamedTuple):
    """As `modelshelf.packing.TensorLayout`."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)


def tensors_of(described: Mapping[str, tuple]) -> dict[str, Tensor]:
    """The tensors that are described as a type and its dimensions."""
    return {name: Tensor(dtype, tuple(shape)) for name, (dtype, *shape) in described.items()}
