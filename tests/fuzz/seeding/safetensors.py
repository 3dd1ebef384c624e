"""safetensors files by the real library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save

NAME = "model.safetensors"


def files(folder: Path) -> Iterator[tuple[str, bytes]]:  # noqa: ARG001 - nothing is written on the way
    """Each file's name and bytes. One key of metadata at most: the library writes them in any order."""
    layer = {"layer.weight": np.ones((2, 3), np.float32), "layer.bias": np.ones(3, np.float16)}
    yield NAME, save(layer, {"format": "pt"})
    yield NAME, save({**layer, "mask": np.zeros((0, 7), np.bool_), "ids": np.zeros((), np.int64)})
    yield NAME, save({f"model.layers.{number}.w": np.ones((2, 2), np.uint8) for number in range(6)})
    yield NAME, save({}, {"note": 'a "quoted" \\ té'})
    yield NAME, save({"c": np.ones(2, np.complex64), "d": np.ones(2, np.float64), "u": np.ones(1, np.uint16)})
