"""Published models as files: whole headers, and data that takes no room on the disk."""

from __future__ import annotations

import json
import struct

import pytest

from modelshelf_safetensors import modelshelf_extract_metadata
from modelshelf_safetensors.layout import lay_out
from tests.core.packing.published import PUBLISHED
from tests.support import reader_of


@pytest.mark.parametrize("name", ["Llama-3.1-8B bnb-4bit", "gpt-oss-20b", "roberta-base"])
def test_a_published_file_and_its_config_are_counted_as_its_page_shows(name, tmp_path):
    described, config, total = PUBLISHED[name]
    header, at = {}, 0
    for tensor, dtype, shape in described():
        end = at + (lay_out(dtype, shape).size or 0)
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    beside = tmp_path / "config.json"
    beside.write_text(json.dumps(config))
    with reader_of(path, companions=(beside,)) as reader:
        metadata = modelshelf_extract_metadata(reader.artifact, "safetensors", reader)
    assert metadata.parameters == total
