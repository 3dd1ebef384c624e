from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from modelshelf.errors import FormatError, ReadError, TruncatedFileError
from modelshelf_safetensors.findings import MOST_NAMED
from modelshelf_safetensors.header import parse_header, read_header
from tests.plugins.modelshelf_safetensors.raw import TENSOR, whole
from tests.support import reader_of


def read(path):
    with reader_of(path) as reader:
        return read_header(reader.file())


def written(tmp_path, content: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return path


def assert_equals_reference(path):
    header = read(path)
    with safe_open(path, framework="numpy") as reference:
        slices = {name: reference.get_slice(name) for name in reference.keys()}  # noqa: SIM118 - no mapping
        expected = {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
        metadata = reference.metadata() or {}
    assert {
        name: (layout.dtype, layout.shape) for name, layout in zip(header.names, header.layouts, strict=True)
    } == expected
    assert header.metadata == metadata
    assert header.data_start + header.data_size == path.stat().st_size


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt", "note": 'a "b" \\ é'}])
def test_what_numpy_saves_is_read_as_the_reference_reads_it(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
    tensors = {f"t.{np.dtype(kind).name}": np.zeros((3, at), kind) for at, kind in enumerate(kinds)}
    save_file(tensors | {"scalar": np.zeros((), np.float32)}, path, metadata)
    assert_equals_reference(path)


def test_what_torch_saves_is_read_as_the_reference_reads_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    kinds = (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64)
    path = tmp_path / "model.safetensors"
    save_torch({f"t{at}": torch.zeros(at + 1, 2, dtype=kind) for at, kind in enumerate(kinds)}, path)
    header = read(path)
    members = {
        name: (layout.dtype, layout.shape) for name, layout in zip(header.names, header.layouts, strict=True)
    }
    assert members == {
        "t0": ("BF16", (1, 2)),
        "t1": ("F16", (2, 2)),
        "t2": ("F8_E4M3", (3, 2)),
        "t3": ("F8_E5M2", (4, 2)),
        "t4": ("C64", (5, 2)),
    }


@pytest.mark.parametrize("name", ["safe_model", "script_injection", "silero_vad_16k"])
def test_real_files_are_read_as_the_reference_reads_them(corpus, name):
    assert_equals_reference(corpus / "safetensors" / f"{name}.safetensors")


def test_a_git_lfs_pointer_is_named(tmp_path):
    path = written(tmp_path, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n")
    with pytest.raises(FormatError, match="git lfs pull") as caught:
        read(path)
    assert (caught.value.code, caught.value.file) == ("git-lfs-pointer", path.name)


def test_a_header_that_the_file_does_not_hold_is_truncated(tmp_path):
    path = written(tmp_path, whole(TENSOR)[:20])
    with pytest.raises(TruncatedFileError, match="ends after 12") as caught:
        read(path)
    assert caught.value.offset == 20


def test_a_syntax_error_is_reported_with_its_byte(tmp_path):
    before = '{"é":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'.encode()
    path = written(tmp_path, whole(before + b"}"))
    with pytest.raises(FormatError) as caught:
        read(path)
    assert caught.value.offset == 8 + len(before)


def test_a_bad_byte_is_reported_with_its_place():
    with pytest.raises(FormatError) as caught:
        parse_header(b'{"\xff":1}')
    assert caught.value.offset == 8 + 2


def test_a_hostile_name_is_escaped_and_cut_in_messages():
    with pytest.raises(FormatError) as caught:
        parse_header(b'{"\\u001b[31m%s":1}' % (b"x" * 1000))
    message = str(caught.value)
    assert "\x1b" not in message
    assert len(message) < 400


def test_a_thousand_faults_of_one_kind_are_counted_not_listed():
    tensor = '"t{0}":{{"dtype":"U8","shape":[1],"data_offsets":[{0},{1}],"x":1}}'
    header = parse_header(("{" + ",".join(tensor.format(at, at + 1) for at in range(1000)) + "}").encode())
    assert len(header.findings) == MOST_NAMED + 1
    assert "980 more" in header.findings[-1].message


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=300)
def test_nothing_but_read_errors_on_any_text(raw):
    try:
        parse_header(raw)
    except ReadError:
        return
    assert raw.strip().startswith(b"{")


SHAPED = '{"a":{"dtype":"F32","shape":[SHAPE],"data_offsets":[0,4]}}'


@pytest.mark.parametrize(
    "header",
    [
        SHAPED.replace("SHAPE", ",".join(["4294967295"] * 60)),
        SHAPED.replace("SHAPE", ",".join(["0"] * 400)),
        "[" * 1000,
        '{"a":' + "1" * 900,
    ],
)
def test_a_lying_header_costs_no_memory(tmp_path, header):
    path = written(tmp_path, whole(header.encode()))
    tracemalloc.start()
    try:
        with pytest.raises(ReadError):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def long_header(tensors: int, separators: tuple[str, str]) -> bytes:
    members = {
        f"model.layers.{at:07}.weight": {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]}
        for at in range(tensors)
    }
    return json.dumps(members, separators=separators).encode()


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_many_tensors_are_read_by_either_reader(separators):
    header = parse_header(long_header(20_000, separators))
    assert len(header.names) == 20_000
    assert header.data_size == 20_000
    assert header.findings == ()
