"""The built-in formats under the kit that third parties use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import modelshelf_gguf
import modelshelf_pytorch
import modelshelf_safetensors
from modelshelf.testing import FormatCase, FormatSuite, ModelFiles

PLUGINS = {"gguf": modelshelf_gguf, "pytorch": modelshelf_pytorch, "safetensors": modelshelf_safetensors}


@pytest.fixture(params=[*PLUGINS, "shards"])
def format_case(request: pytest.FixtureRequest, tmp_path: Path) -> FormatCase:
    format = request.param
    if format == "shards":
        return shards(tmp_path / "model")
    return FormatCase(plugin=PLUGINS[format], format=format, weights=ModelFiles(tmp_path).sound(format))


def shards(folder: Path) -> FormatCase:
    """A safetensors model of two shards and their index, with a companion."""
    folder.mkdir()
    names = {f"weight.{number}": f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    for tensor, name in names.items():
        save_file({tensor: np.ones((128, 128), np.float32)}, folder / name, {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 131072}, "weight_map": names}))
    config = folder / "config.json"
    config.write_text(json.dumps({"model_type": "llama"}))
    return FormatCase(
        plugin=modelshelf_safetensors,
        format="safetensors",
        weights=[folder / name for name in names.values()],
        index=index,
        companions=[config],
        most_read=48 * 1024,  # two heads and the index
    )


class TestFormat(FormatSuite):
    pass
