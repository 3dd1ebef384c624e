"""Files that are sound models of another format and pickles that call code, from their first byte on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import pytest

from modelshelf.model import Depth, HealthStatus, Severity
from modelshelf.model.health import status_of
from modelshelf_pytorch import modelshelf_probe_health
from tests.plugins.modelshelf_pytorch.forge import EVIL, checkpoint, look_at
from tests.support import reader_of

UNICODE, STRING, INTEGER, PERSISTENT = 0x56, 0x53, 0x49, 0x50
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\0."


def safetensors(data: bytes, low_bytes: bytes, *, blocks: int = 1) -> bytes:
    """A sound file of one tensor; the length of its header begins with these bytes, the next is `blocks`."""
    tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    length = int.from_bytes(low_bytes, "little") + blocks * 256 ** len(low_bytes)
    return length.to_bytes(8, "little") + json.dumps({"w": tensor}).encode().ljust(length) + data


def gguf(tensors: bytes, rest: bytes) -> bytes:
    return b"GGUF\x03\0\0\0" + tensors.ljust(8, b"\0") + (0).to_bytes(8, "little") + rest


def probed(path, format: str, depth: Depth = Depth.HEADER):
    with reader_of(path) as reader:
        return tuple(modelshelf_probe_health(reader.artifact, format, reader, depth))


@pytest.mark.parametrize("blocks", [1, 2000, 8000])
@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.pkl", "model"])
def test_a_safetensors_file_that_is_a_pickle_that_calls_code_is_unhealthy(tmp_path, name, depth, blocks):
    path = tmp_path / name
    path.write_bytes(safetensors(b"\n" + EVIL, bytes([UNICODE]), blocks=blocks))
    findings = probed(path, "safetensors", depth)
    assert [one.code for one in findings if one.severity is Severity.ERROR] == ["polyglot", "unsafe-global"]
    assert status_of(findings) is HealthStatus.UNHEALTHY


@pytest.mark.parametrize(
    ("low_bytes", "end"),
    [
        (bytes([PERSISTENT]), b"\n"),
        (b"N" + bytes([UNICODE]), b"\n"),
        (bytes([INTEGER, 0]), b"\n"),  # a number is a C string: it ends at a NUL
        (bytes([STRING]) + b"'", b"'\n"),
        (b"]." + bytes([UNICODE]), b"\n"),  # another stream behind a whole one
        (b"(" + bytes([UNICODE]), b"\n"),
    ],
)
@pytest.mark.parametrize("attack", [EVIL, EVIL + b"c\x01\n\x02\n.", EVIL[:-1], b"0" + LEGACY + EVIL])
def test_whatever_opcode_passes_over_the_header_the_call_behind_it_is_found(tmp_path, low_bytes, end, attack):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(end + attack, low_bytes))
    assert status_of(probed(path, "safetensors")) is HealthStatus.UNHEALTHY


def test_a_gguf_file_that_is_a_pickle_that_calls_code_is_unhealthy(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(bytes([0, UNICODE]), b"\0" * 600 + b"\n" + EVIL))
    assert "polyglot" in [one.code for one in probed(path, "gguf")]


@pytest.mark.parametrize("entries", [0x82, 0x83, 0x84])
def test_a_map_of_messagepack_that_begins_like_an_extension_is_no_pickle(tmp_path, entries):
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(bytes([entries]) + b"\xa4bert\x80\xa3cls\x80\xa4head\x80\xa3out\x80" + bytes(600))
    assert probed(path, "flax") == ()


@pytest.mark.parametrize("attack", [b"\x82\x01)R.", b"\x82\x01)R", b"\x82\x01.", b"\x83\xa4b)R"])
def test_an_extension_that_a_pickle_gives_or_calls_is_unhealthy(tmp_path, attack):
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(attack + bytes(600))
    findings = probed(path, "flax")
    assert "polyglot" in [one.code for one in findings]
    assert status_of(findings) is HealthStatus.UNHEALTHY


def test_one_that_goes_on_for_longer_than_is_judged_is_not_judged(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(b"\n0" + b"N0" * (9 << 20) + EVIL, bytes([UNICODE])))
    findings = probed(path, "safetensors")
    assert [one.code for one in findings] == ["not-judged"]
    assert status_of(findings) is HealthStatus.UNKNOWN


@pytest.mark.parametrize("low_byte", [0x28, 0x30, 0x50, 0x58, 0x68, 0x70, 0x80, 0x88, 0x90, 0x98])
def test_a_sound_safetensors_file_is_no_pickle_whatever_its_header_length(tmp_path, low_byte):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(b"\n" + b"\0" * 7, bytes([low_byte])))
    assert probed(path, "safetensors") == ()


@pytest.mark.parametrize("name", ["model.gguf", "model", "sha256-0123", "model.weights"])
def test_a_gguf_file_is_no_pickle(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gguf((291).to_bytes(8, "little"), b"\0" * 600))
    assert probed(path, "gguf") == ()


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pth", ".pkl", ".ckpt", ".CKPT", ".pickle", ".joblib"])
@pytest.mark.parametrize("format", ["gguf", "safetensors"])
def test_an_ending_of_pickles_on_another_format_is_an_info(tmp_path, ending, format):
    path = tmp_path / f"model{ending}"
    path.write_bytes(safetensors(b"\0" * 8, b"\x08") if format == "safetensors" else gguf(b"\1", bytes(600)))
    (finding,) = probed(path, format)
    assert (finding.code, finding.severity) == ("misnamed", Severity.INFO)
    assert format in finding.message


@pytest.mark.parametrize("ending", [".gguf", ".safetensors", ".SafeTensors"])
def test_a_checkpoint_under_an_ending_that_promises_no_code_is_doubtful(tmp_path, ending):
    result = look_at(tmp_path, checkpoint(), f"model{ending}")
    assert (result.status, result.codes) == (HealthStatus.DEGRADED, ["misnamed"])


def with_archive(comment: bytes) -> bytes:
    """A sound safetensors file whose tensor is a ZIP, its offsets counted from the file's start."""
    length = 0
    for _ in range(3):
        tensor = {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}
        header = json.dumps({"w": tensor}).encode().ljust(128)
        made = io.BytesIO(len(header).to_bytes(8, "little") + header)
        with zipfile.ZipFile(made, "a") as packed:
            packed.writestr("m/data.pkl", EVIL)
            packed.comment = comment
        length = len(made.getvalue()) - 8 - len(header)
    return made.getvalue()


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize(
    ("name", "comment"), [("model.safetensors", b""), ("model.pt", b""), ("model.pt", b"c" * 60_000)]
)
def test_a_safetensors_file_that_ends_as_an_archive_is_unhealthy(tmp_path, name, comment, depth):
    path = tmp_path / name
    path.write_bytes(with_archive(comment))
    assert ("polyglot", Severity.ERROR) in [
        (one.code, one.severity) for one in probed(path, "safetensors", depth)
    ]


def test_bytes_of_a_tensor_that_look_like_the_end_of_an_archive_are_none(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(b"PK\x05\x06" + b"\x07" * 40, b"\x08"))
    assert probed(path, "safetensors") == ()


def test_other_programs_files_may_be_called_bin(tmp_path):
    path = tmp_path / "ggml-base.bin"
    path.write_bytes(b"lmgg" + bytes(600))
    assert probed(path, "ggml") == ()


IMPORTED = """
import sys
from pathlib import Path
from modelshelf.model import Depth
from modelshelf_pytorch import modelshelf_probe_health
from tests.support import reader_of
path = Path(sys.argv[1])
with reader_of(path) as reader:
    assert not list(modelshelf_probe_health(reader.artifact, "safetensors", reader, Depth.HEADER))
assert "modelshelf_pytorch.pickle.machine" not in sys.modules
"""


def test_what_cannot_be_a_pickle_costs_no_interpreter(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(bytes(64), b"\x80"))
    subprocess.run([sys.executable, "-c", IMPORTED, str(path)], check=True)
