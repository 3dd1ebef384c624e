"""Weights, by the place that each layer's tensors lie at.

Source: llama.cpp `llama_model::load_tensors`: layers go to the device from the back, the output layer first;
the input embedding stays on the host, and a tied output is a second copy of it on the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from modelshelf_fit.shape import MOST_LAYERS, UnknownMemoryError

_MOST_BYTES = 2**60


@frozen(kw_only=True)
class Weights:
    """Bytes of tensors by the part of the model.

    Attributes:
        input: Embeddings of the input.
        output: The output matrix; 0 where the input's embedding serves as it.
        other: What goes with the output: its norm, and what belongs to no layer.
        layers: Of each layer.
        experts: Of each layer's routed experts, which `layers` counts too.
    """

    input: int
    output: int
    other: int
    layers: tuple[int, ...]
    experts: tuple[int, ...]

    @classmethod
    def of(cls, memory: Mapping[str, Any]) -> Weights:
        """Read what a record keeps.

        Raises:
            UnknownMemoryError: It keeps no sizes, because the table of tensors could not be read.
        """
        sizes = memory.get("bytes")
        if not isinstance(sizes, dict):
            raise UnknownMemoryError("the sizes of the tensors are not known")
        layers: list[int] = []
        experts: list[int] = []
        for run in sizes.get("layers", ()):
            count, size, of_experts = _numbers(run, 3)
            if len(layers) + count > MOST_LAYERS:
                raise UnknownMemoryError(f"more than {MOST_LAYERS} layers")
            layers += [size] * count
            experts += [of_experts] * count
        first, last, other = _numbers([sizes.get(one, 0) for one in ("input", "output", "other")], 3)
        return cls(input=first, output=last, other=other, layers=tuple(layers), experts=tuple(experts))

    def placed(self, device_layers: int, *, tied: bool) -> dict[str, int]:
        """Bytes on the device and on the host, with so many layers on the device.

        Args:
            device_layers: Layers on the device, the output layer among them.
            tied: Whether the output needs a copy of the input's embedding where it has no matrix.
        """
        if not device_layers:
            return {"device": 0, "host": self.input + self.output + self.other + sum(self.layers)}
        first = len(self.layers) + 1 - device_layers
        output = self.output or (self.input if tied else 0)
        return {
            "device": output + self.other + sum(self.layers[first:]),
            "host": self.input + sum(self.layers[:first]),
        }


def _numbers(values: Sequence[object], count: int) -> list[int]:
    numbers = [one for one in values if isinstance(one, int) and 0 <= one <= _MOST_BYTES]
    if len(numbers) != count or len(values) != count:
        raise UnknownMemoryError("the record's sizes of tensors cannot be read; scan the model again")
    return numbers
