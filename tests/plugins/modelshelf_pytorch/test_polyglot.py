"""Files that are sound models of another format and pickles that call code, from their first byte on."""

from __future__ import annotations

import json

import pytest

from modelshelf.model import Depth, HealthStatus
from modelshelf.model.health import status_of
from modelshelf_pytorch import modelshelf_probe_health
from tests.plugins.modelshelf_pytorch.forge import EVIL
from tests.support import reader_of

UNICODE = 0x56


def safetensors(data: bytes, low_byte: int, *, blocks: int = 1) -> bytes:
    """A sound file of one tensor, whose header's length has a low byte, and which has so many more of 256."""
    tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    length = low_byte + 256 * blocks
    return length.to_bytes(8, "little") + json.dumps({"w": tensor}).encode().ljust(length) + data


def probed(path, format: str, depth: Depth):
    with reader_of(path) as reader:
        return tuple(modelshelf_probe_health(reader.artifact, format, reader, depth))


@pytest.mark.parametrize("blocks", [1, 2000, 8000])
@pytest.mark.parametrize("depth", [Depth.HEADER, Depth.FULL])
@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.pkl", "model"])
def test_a_safetensors_file_that_is_a_pickle_that_calls_code_is_unhealthy(tmp_path, name, depth, blocks):
    path = tmp_path / name
    path.write_bytes(safetensors(b"\n" + EVIL, UNICODE, blocks=blocks))
    findings = probed(path, "safetensors", depth)
    assert [one.code for one in findings] == ["polyglot", "unsafe-global"]
    assert status_of(findings) is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("low_byte", [0x28, 0x30, 0x50, 0x58, 0x68, 0x70, 0x80, 0x88, 0x90, 0x98])
def test_a_sound_safetensors_file_is_no_pickle_whatever_its_header_length(tmp_path, low_byte):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(b"\n" + b"\0" * 7, low_byte))
    assert probed(path, "safetensors", Depth.HEADER) == ()


def test_a_gguf_file_is_no_pickle(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + (291).to_bytes(8, "little") + b"\0" * 600)
    assert probed(path, "gguf", Depth.HEADER) == ()
