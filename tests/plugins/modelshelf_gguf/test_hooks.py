from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gguf
import pytest

import modelshelf_gguf
from modelshelf.model import Depth
from modelshelf_gguf.layout import MAGIC
from tests.plugins.modelshelf_gguf.forge import file, save, write_llama
from tests.support import artifact_of, candidate_of, reader_of

ROOT = Path(__file__).resolve().parents[3]


def detected(path):
    with reader_of(path) as reader:
        return modelshelf_gguf.modelshelf_detect_format(candidate_of(reader))


def test_the_format_is_recognised_by_suffix_and_magic():
    (kind,) = modelshelf_gguf.modelshelf_formats()
    assert (kind.name, kind.suffixes, kind.magic) == ("gguf", (".gguf",), ((0, b"GGUF"),))
    assert kind.magic == ((0, MAGIC),)


@pytest.mark.parametrize(
    ("name", "content", "confidence"),
    [("model.gguf", file(), 0.9), ("blob", file(), 0.9), ("model.GGUF", b"version https", 0.2)],
)
def test_the_magic_outvotes_the_suffix(tmp_path, name, content, confidence):
    detection = detected(save(tmp_path, content, name))
    assert (detection.format, detection.confidence) == ("gguf", confidence)


def test_other_files_get_no_vote(tmp_path):
    assert detected(save(tmp_path, b"PK\x03\x04", "model.bin")) is None


def test_other_formats_are_left_alone(tmp_path):
    path = save(tmp_path, file())
    with reader_of(path) as reader:
        assert modelshelf_gguf.modelshelf_extract_metadata(artifact_of(path), "safetensors", reader) is None
        assert modelshelf_gguf.modelshelf_probe_health(reader.artifact, "onnx", reader, Depth.HEADER) is None
        assert reader.budget.opened == 0


def test_a_small_model_costs_one_read_for_all_hooks(tmp_path):
    path = write_llama(tmp_path / "m.gguf")
    with reader_of(path) as reader:
        candidate_of(reader)
        modelshelf_gguf.modelshelf_extract_metadata(reader.artifact, "gguf", reader)
        list(modelshelf_gguf.modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.HEADER))
        assert reader.bytes_read == min(16 * 1024, path.stat().st_size)


def test_importing_the_plugin_imports_neither_its_parser_nor_heavy_packages():
    program = (
        "import sys, modelshelf_gguf; "
        "print({'numpy', 'gguf', 'modelshelf_gguf.parse', 'modelshelf_gguf.layout'} & sys.modules.keys())"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"


def test_a_header_is_read_without_numpy_and_gguf(tmp_path):
    path = write_llama(tmp_path / "m.gguf", tokens=5000)
    program = (
        "import sys; sys.modules['numpy'] = sys.modules['gguf'] = None\n"
        "import pathlib, modelshelf_gguf.string_arrays as s; s.NUMPY_AFTER = 0\n"
        "from tests.support import reader_of; import modelshelf_gguf as g\n"
        f"reader = reader_of(pathlib.Path({str(path)!r}))\n"
        "print(g.modelshelf_extract_metadata(reader.artifact, 'gguf', reader).vocab_size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "5000", done.stderr


def test_the_places_of_tensors_are_those_of_the_reference_reader(tmp_path):
    path = write_llama(tmp_path / "m.gguf")
    with reader_of(path) as reader:
        (places,) = modelshelf_gguf.modelshelf_tensor_places(reader.artifact, "gguf", reader)
        assert list(modelshelf_gguf.modelshelf_tensor_places(reader.artifact, "onnx", reader)) == []
    expected = {(int(one.data_offset), int(one.n_bytes)) for one in gguf.GGUFReader(path).tensors}
    assert (places.file, set(places.spans)) == ("m.gguf", expected)


def test_a_file_with_a_broken_header_has_no_places_of_tensors(tmp_path):
    path = save(tmp_path, b"GGUF\x03\0\0\0" + b"\xff" * 16)
    with reader_of(path) as reader:
        assert list(modelshelf_gguf.modelshelf_tensor_places(reader.artifact, "gguf", reader)) == []
