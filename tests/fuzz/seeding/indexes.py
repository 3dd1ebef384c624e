"""Two shards of one model with the index that names them, for both formats that have one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

SHARDS = (
    ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
    ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"),
)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:  # noqa: ARG001 - nothing is written on the way
    """First shard, second shard and index of safetensors; the same of PyTorch."""
    for number, (first, second, index) in enumerate(SHARDS):
        for shard, name in ((first, "a.weight"), (second, "b.weight")):
            if number == 0:
                yield shard, save({name: np.ones((2, 2), np.float32)})
            else:
                raw = io.BytesIO()
                torch.save({name: torch.ones(2, 2)}, raw)
                yield shard, raw.getvalue()
        document = {"metadata": {"total_size": 32}, "weight_map": {"a.weight": first, "b.weight": second}}
        yield index, (json.dumps(document, indent=2) + "\n").encode()
