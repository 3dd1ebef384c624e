from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from modelshelf.model import Candidate, Detection, FormatType

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(200)
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
WHISPER = struct.pack("<4s11i", b"lmgg", 51865, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1) + bytes(100)

NONSENSE = bytes(range(0x7F, 0xFF)) * 4

MODELS = {
    "m.onnx": ("onnx", b"\x08\x08\x12\x07pytorch" + bytes(50)),
    "m.tflite": ("tflite", b"\x1c\0\0\0TFL3" + bytes(50)),
    "m.h5": ("keras", HDF5),
    "m.keras": ("keras", b"PK\x03\x04" + bytes(100)),
    "saved_model.pb": ("savedmodel", b"\x08\x01\x12" + bytes(50)),
    "m.mlmodel": ("coreml", b"\x08\x04\x12" + bytes(50)),
    "m.param": ("ncnn", b"7767517\n75 83\nInput data 0 1 data\n"),
    "m.engine": ("tensorrt", b"ftrt" + bytes(50)),
    "model.bin": ("ctranslate2", b"\x06\0\0\0\x10\0TransformerSpec\0" + bytes(50)),
    "ggml-tiny.bin": ("ggml", WHISPER),
    "flax_model.msgpack": ("flax", b"\x81\xa6params\x80"),
    "m.eqx": ("equinox", b'{"width": 3}\n\x93NUMPY' + bytes(50)),
    "_CHECKPOINT_METADATA": ("orbax", b'{"item_handlers": null}'),
    "m.pt.zst": ("compressed", b"(\xb5/\xfd" + bytes(50)),
    "m.gguf.part1of2": ("split", GGUF),
    "m.gguf.part02": ("split", b"\x17" * 100),
    "m.gguf-split-a": ("split", GGUF),
    "m.safetensors.part1of2": ("split", b"\x02\0\0\0\0\0\0\0{}" + bytes(50)),
    "m.pt.part1of2": ("split", b"PK\x03\x04" + bytes(100)),
    "openvino_model.bin": ("openvino", NONSENSE),
}


def scanned(tmp_path: Path, files: dict[str, bytes], **plugins: object):
    for name, content in files.items():
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    registry = ModelRegistry(tmp_path / "models", tmp_path / "data", **plugins)
    return registry, registry.discover_models()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_no_plugin_reads_is_listed_as_its_format_and_not_judged(
    tmp_path: Path, name: str
) -> None:
    format_name, content = MODELS[name]
    registry, stats = scanned(tmp_path, {name: content})
    (model,) = list(registry)
    assert model.metadata.format == format_name
    assert model.metadata.size_bytes == len(content)
    assert str(model.health_status) == "unknown"
    assert model.verdict == "foreign"
    assert [one.code for one in model.findings] == ["not-judged"]
    assert stats.problems == ()


def test_a_piece_that_was_cut_by_bytes_says_how_to_join_it(tmp_path: Path) -> None:
    registry, _ = scanned(tmp_path, {"m.gguf.part1of2": GGUF})
    (model,) = list(registry)
    message = model.findings[0].message
    assert "piece 1 of 2 of m.gguf" in message
    assert "cat m.gguf.part1of2 m.gguf.part2of2 > m.gguf" in message


def test_a_whisper_model_of_ggml_gives_the_facts_of_its_header(tmp_path: Path) -> None:
    registry, _ = scanned(tmp_path, {"ggml-tiny.bin": WHISPER})
    (model,) = list(registry)
    assert model.metadata.architecture == "whisper"
    assert model.metadata.details["whisper.n_audio_state"] == 384


class OnnxReader:
    """A plugin that reads what `modelshelf_foreign` only names."""

    def modelshelf_formats(self):
        yield FormatType(name="onnx2", suffixes=(".onnx",))

    def modelshelf_detect_format(self, candidate: Candidate):
        if candidate.suffix == ".onnx":
            return Detection(format="onnx2", confidence=0.2, evidence="suffix")
        return None


def test_a_plugin_that_reads_such_a_format_wins(tmp_path: Path) -> None:
    registry, _ = scanned(tmp_path, {"m.onnx": MODELS["m.onnx"][1]}, plugins=[OnnxReader()])
    (model,) = list(registry)
    assert model.metadata.format == "onnx2"


FOREIGN = {
    "path-configuration": ({"distutils-precedence.pth": b"import os; var = 'SETUPTOOLS'\n"}, 0),
    "paths": ({"__editable__.x.pth": b"/home/x/src\n"}, 0),
    "coreml": ({"m.mlpackage/Data/com.apple.CoreML/weights/weight.bin": NONSENSE}, 0),
    "ncnn": ({"m.bin": NONSENSE, "m.param": b"7767517\n1 1\n"}, 1),
    "openvino": ({"m.bin": NONSENSE, "m.xml": b"<device/>"}, 0),
    "metal": ({"metal/model.bin": NONSENSE}, 0),
    "voices": ({"voices/af.bin": NONSENSE}, 0),
    "firmware": ({"fw.bin": NONSENSE}, 0),
    "firmware that begins with a long text's length": ({"firmware/x.bin": b"X\xff\0\0\0" + NONSENSE}, 0),
    "firmware that begins with a line": ({"firmware/y.bin": b"VERSION" + bytes(600)}, 0),
    "data that begins as zlib's": ({"x.bin": b"x\x01" + NONSENSE}, 0),
    "an empty map of msgpack": ({"vocab/lookups.bin": b"\x80"}, 0),
    "TensorFlow 1": ({"model.ckpt": b"\0\x0f\x8d" + NONSENSE}, 0),
    "paths of Windows": ({"x.pth": b"c:\\python\\lib\nc:\\python\\dll\n"}, 0),
    "no path": ({"site-packages/x.pth": b""}, 0),
    "fastText": ({"lid.176.bin": b"\xba\x16O/\x0c\0\0\0" + NONSENSE}, 0),
    "elf": ({"prog.bin": b"\x7fELF" + bytes(100)}, 0),
    "text": ({"tutor.pt": b"== Bem-vindo ao tutorial do VIM ==\n"}, 0),
    "7z": ({"a.7z": b"7z\xbc\xaf'\x1c" + bytes(50)}, 0),
    "rar": ({"a.rar": b"Rar!\x1a\x07\0" + bytes(50)}, 0),
    "tar": ({"a.tar": b"a".ljust(257, b"\0") + b"ustar" + bytes(250)}, 0),
    "zip": ({"a.zip": b"PK\x05\x06" + bytes(18)}, 0),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_programs_file_is_neither_a_model_nor_a_problem_and_why_says_whose(
    tmp_path: Path, kind: str
) -> None:
    files, models = FOREIGN[kind]
    for _ in range(2):
        registry, stats = scanned(tmp_path, files)
        assert stats.models_found == models
        assert stats.problems == ()
        registry.close()
    with ModelRegistry(tmp_path / "models", tmp_path / "data") as registry:
        reasons = registry.why(tmp_path / "models" / next(iter(files)))
    assert "foreign" in {one.rule for one in reasons}


WHOLES = {
    "openvino": ("m.bin", {"m.bin": NONSENSE, "m.xml": b'<?xml version="1.0"?><net name="m"/>'}),
    "ncnn": ("m.param", {"m.param": b"7767517\n1 1\n", "m.bin": NONSENSE}),
    "tfjs": (
        "group1-shard1of2.bin",
        {
            "group1-shard1of2.bin": NONSENSE,
            "group1-shard2of2.bin": NONSENSE[:100],
            "model.json": b'{"weightsManifest": [{"paths": '
            b'["group1-shard1of2.bin", "group1-shard2of2.bin"]}]}',
        },
    ),
    "coreml": (
        "m.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        {
            "m.mlpackage/Data/com.apple.CoreML/model.mlmodel": b"\x08\x04\x12" + bytes(50),
            "m.mlpackage/Data/com.apple.CoreML/weights/weight.bin": NONSENSE,
        },
    ),
    "savedmodel": (
        "saved_model.pb",
        {
            "saved_model.pb": b"\x08\x01\x12\0",
            "variables/variables.data-00000-of-00001": NONSENSE,
            "variables/variables.index": b"i",
        },
    ),
    "orbax": (
        "_CHECKPOINT_METADATA",
        {"_CHECKPOINT_METADATA": b"{}", "default/_METADATA": b"{}", "default/d/0123": NONSENSE},
    ),
    "onnx": ("m.onnx", {"m.onnx": b"\x08\x08\x12\x07pytorch", "m.onnx_data": NONSENSE}),
}


@pytest.mark.parametrize("format_name", WHOLES)
def test_a_model_of_several_files_is_one_record_with_the_size_of_all(
    tmp_path: Path, format_name: str
) -> None:
    listed, files = WHOLES[format_name]
    registry, stats = scanned(tmp_path, files)
    (model,) = list(registry)
    assert model.path == str(tmp_path / "models" / listed)
    assert (model.metadata.format, model.verdict) == (format_name, "foreign")
    described = {"model.json"} if format_name == "tfjs" else set()
    assert model.metadata.size_bytes == sum(len(files[name]) for name in files.keys() - described)
    assert stats.problems == ()


def test_a_tensor_of_zeros_that_begins_the_weights_of_another_program_is_no_failed_download(
    tmp_path: Path,
) -> None:
    registry, _ = scanned(tmp_path, {"m.bin": bytes(4096) + NONSENSE, "m.xml": b"<net/>"})
    (model,) = list(registry)
    assert model.verdict == "foreign"


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".gguf", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"version https://git-lfs.github.com/spec/v1\noid", b"<!DOCTYPE html><html>", bytes(4096)],
    ids=["pointer", "page", "zeros"],
)
def test_a_failed_download_is_still_an_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    registry, _ = scanned(tmp_path, {f"model{suffix}": content})
    (model,) = list(registry)
    assert str(model.health_status) == "unhealthy"
    assert model.verdict == "incomplete"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_what_a_checkpoint_of_that_name_never_begins_with_is_doubtful_and_not_called_damaged(
    tmp_path: Path, name: str
) -> None:
    registry, _ = scanned(tmp_path, {name: NONSENSE})
    (model,) = list(registry)
    assert (str(model.health_status), model.verdict) == ("unhealthy", "doubtful")


@pytest.mark.parametrize("name", ["m.gguf", "m.safetensors"])
def test_nonsense_under_a_suffix_of_one_format_is_damaged(tmp_path: Path, name: str) -> None:
    registry, _ = scanned(tmp_path, {name: NONSENSE})
    (model,) = list(registry)
    assert model.verdict == "damaged"


def test_empty_blocks_before_compressed_data_hide_nothing(tmp_path: Path) -> None:
    pickle = b"cos\nsystem\n(S'id'\ntR."
    packed = b"x\x01" + b"\0\0\0\xff\xff" * 200 + zlib.compress(pickle)[2:]
    registry, _ = scanned(tmp_path, {"model.bin": packed})
    (model,) = list(registry)
    assert model.verdict == "unsafe"


def test_an_archive_in_which_a_pickle_shows_is_judged(tmp_path: Path) -> None:
    content = b"7z\xbc\xaf'\x1c" + bytes(50) + b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."
    registry, _ = scanned(tmp_path, {"a.7z": content})
    (model,) = list(registry)
    assert model.verdict == "unsafe"


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pkl"])
def test_an_archive_under_a_pickle_loaders_suffix_keeps_its_verdict(tmp_path: Path, suffix: str) -> None:
    registry, _ = scanned(tmp_path, {f"model{suffix}": b"7z\xbc\xaf'\x1c" + bytes(50)})
    (model,) = list(registry)
    assert str(model.health_status) != "healthy"
    assert model.metadata.format == "archive"


def test_a_text_pickle_under_pth_is_judged_however_it_looks(tmp_path: Path) -> None:
    registry, _ = scanned(tmp_path, {"x.pth": b"cos\nsystem\n(S'id'\ntR."})
    (model,) = list(registry)
    assert str(model.health_status) == "unhealthy"
