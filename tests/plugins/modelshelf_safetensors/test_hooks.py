from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from modelshelf_safetensors import (
    modelshelf_detect_format,
    modelshelf_formats,
    modelshelf_tensor_places,
)
from tests.plugins.modelshelf_safetensors.raw import TENSOR, whole
from tests.support import candidate_of, reader_of


def detect(tmp_path, name: str, content: bytes):
    path = tmp_path / name
    path.write_bytes(content)
    with reader_of(path) as reader:
        return modelshelf_detect_format(candidate_of(reader))


@pytest.mark.parametrize("name", ["m.safetensors", "m.sft", "m.SAFETENSORS", "m", "m.bin"])
@pytest.mark.parametrize(
    "content", [save({"a": np.ones(3)}), whole(TENSOR), whole(b"{}", b""), whole(b" " + TENSOR)]
)
def test_a_header_is_recognised_whatever_the_name(tmp_path, name, content):
    detection = detect(tmp_path, name, content)
    assert (detection.format, detection.confidence) == ("safetensors", 0.9)


def test_a_truncated_file_is_recognised_by_its_name(tmp_path):
    assert detect(tmp_path, "m.safetensors", whole(TENSOR)[:20]).confidence == 0.9
    assert detect(tmp_path, "m", whole(TENSOR)[:20]) is None


@pytest.mark.parametrize(
    "content", [b"", b"1234567", b"\xff" * 100, b"version https://git-lfs", b"PK\x03\x04"]
)
def test_the_suffix_alone_is_a_weak_vote(tmp_path, content):
    assert detect(tmp_path, "m.safetensors", content).confidence == 0.2
    assert detect(tmp_path, "m.bin", content) is None


@pytest.mark.parametrize("content", [b'{"data":{"a":1}}', b'[1,2,3,4{"a', b"GGUF\x03\0\0\0{"])
def test_other_json_is_not_mistaken(tmp_path, content):
    assert detect(tmp_path, "m", content) is None


def test_the_magic_is_what_the_reference_writes():
    (format,) = modelshelf_formats()
    ((offset, magic),) = format.magic
    assert save({"a": np.ones(3)})[offset:].startswith(magic)


def test_the_plugin_works_without_the_packages_of_the_extra(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(save({"a": np.ones(3)}))
    program = """
import sys
for name in ("safetensors", "numpy", "torch"):
    sys.modules[name] = None
from pathlib import Path
from modelshelf.model import Depth
from modelshelf_safetensors import modelshelf_extract_metadata, modelshelf_probe_health
from tests.support import reader_of
with reader_of(Path(sys.argv[1])) as reader:
    print(modelshelf_extract_metadata(reader.artifact, "safetensors", reader).parameters)
    print(list(modelshelf_probe_health(reader.artifact, "safetensors", reader, Depth.FULL)))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "m.safetensors")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["3", "[]"]


def test_importing_the_plugin_imports_no_parser():
    program = (
        "import sys, modelshelf_safetensors; print([n for n in sys.modules if n.startswith('modelshelf_')])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['modelshelf_safetensors']"


def test_the_places_of_tensors_are_their_data(tmp_path):
    tensors = {"a": np.arange(3, dtype=np.float32), "b": np.arange(7, dtype=np.uint8), "none": np.zeros(0)}
    path = tmp_path / "m.safetensors"
    path.write_bytes(save(tensors))
    with reader_of(path) as reader:
        (places,) = modelshelf_tensor_places(reader.artifact, "safetensors", reader)
        assert list(modelshelf_tensor_places(reader.artifact, "gguf", reader)) == []
    content = path.read_bytes()
    data = {content[offset : offset + length] for offset, length in places.spans}
    assert (places.file, data) == (path.name, {one.tobytes() for one in tensors.values()})
