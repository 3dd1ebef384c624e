from __future__ import annotations

import struct

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelshelf.model import HealthStatus
from modelshelf_gguf.parse import parse_header
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, string, tensor, verdict, write_llama
from tests.support import reader_of

ARCHITECTURE = pair(b"general.architecture", forge.STRING, b"llama")

F32_ROW = bytes(range(128))

EVERY_KIND = {
    b"a.u8": (forge.U8, 255),
    b"a.i8": (forge.I8, -128),
    b"a.u16": (forge.U16, 65535),
    b"a.i16": (forge.I16, -32768),
    b"a.u32": (forge.U32, 2**32 - 1),
    b"a.i32": (forge.I32, -(2**31)),
    b"a.f32": (forge.F32, 0.5),
    b"a.bool": (forge.BOOL, True),
    b"a.string": (forge.STRING, "größe".encode()),
    b"a.empty": (forge.STRING, b""),
    b"a.u64": (forge.U64, 2**64 - 1),
    b"a.i64": (forge.I64, -(2**63)),
    b"a.f64": (forge.F64, 1e300),
    b"a.numbers": (forge.ARRAY, (forge.I32, [1, -2, 3])),
    b"a.flags": (forge.ARRAY, (forge.BOOL, [True, False])),
    b"a.words": (forge.ARRAY, (forge.STRING, [b"one", b"", b"three"])),
    b"a.nothing": (forge.ARRAY, (forge.F64, [])),
}


def parsed(path):
    with reader_of(path) as reader:
        return parse_header(reader.file())


def status_and_codes(path):
    result = verdict(path)
    return result.status, result.codes


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (2, "<"), (3, "<"), (3, ">"), (1, ">")])
def test_every_value_type_is_read_in_every_version_and_byte_order(tmp_path, version, order):
    count = "I" if version == 1 else "Q"
    fields = [pair(key, kind, value, order, count) for key, (kind, value) in EVERY_KIND.items()]
    tensors = [tensor(b"t", (8, 4), 0, 0, order, count)]
    header = parsed(save(tmp_path, file(fields, tensors, F32_ROW, version=version, order=order)))
    assert header.fault is None
    assert (header.version, header.byte_order) == (version, "little" if order == "<" else "big")
    assert {key: field.value for key, field in header.fields.items()} == {
        "a.u8": 255,
        "a.i8": -128,
        "a.u16": 65535,
        "a.i16": -32768,
        "a.u32": 2**32 - 1,
        "a.i32": -(2**31),
        "a.f32": 0.5,
        "a.bool": True,
        "a.string": "größe",
        "a.empty": "",
        "a.u64": 2**64 - 1,
        "a.i64": -(2**63),
        "a.f64": 1e300,
        "a.numbers": (1, -2, 3),
        "a.flags": (True, False),
        "a.words": ("one", "", "three"),
        "a.nothing": (),
    }
    (one,) = header.tensors
    assert (one.name, one.shape, one.type, one.offset) == ("t", (8, 4), 0, 0)


def test_large_arrays_are_counted_and_not_kept(tmp_path):
    fields = [
        pair(b"a.numbers", forge.ARRAY, (forge.F32, [1.0] * 5000)),
        pair(b"a.words", forge.ARRAY, (forge.STRING, [b"word"] * 5000)),
        pair(b"a.last", forge.U8, 7),
    ]
    fields = parsed(save(tmp_path, file(fields))).fields
    assert [(one.value, one.item_kind, one.length) for one in fields.values()] == [
        (None, forge.F32, 5000),
        (None, forge.STRING, 5000),
        (7, None, None),
    ]


def test_nested_arrays_are_read_and_said_to_be_refused_elsewhere(tmp_path):
    inner = [(forge.U8, [1, 2]), (forge.STRING, [b"three"])]
    nested = pair(b"a.nested", forge.ARRAY, (forge.ARRAY, inner))
    path = save(tmp_path, file([nested, pair(b"b", forge.U8, 1)]))
    assert parsed(path).fields["a.nested"].value == ((1, 2), ("three",))
    assert parsed(path).fields["b"].value == 1
    assert status_and_codes(path) == (HealthStatus.DEGRADED, {"nested-array"})


ACCEPTED = {
    "empty header": file(),
    "good key-values": file([pair(key, kind, value) for key, (kind, value) in EVERY_KIND.items()]),
    "zero-element tensor": file([], [tensor(b"t", (8, 0), 0, 0)]),
    "scalar tensor": file([], [tensor(b"t", (), 0, 0)], F32_ROW[:4]),
    "good data": file([], [tensor(b"t", (32,), 0, 0), tensor(b"u", (32,), 8, 128)], F32_ROW + bytes(64)),
    "data of a writer that leaves the last padding out": file([], [tensor(b"t", (3,), 0, 0)], F32_ROW[:12]),
    "custom alignment 1": file([pair(b"general.alignment", forge.U32, 1)], alignment=1),
    "custom alignment 1 with data": file(
        [pair(b"general.alignment", forge.U32, 1)],
        [tensor(b"t", (3,), 24, 0), tensor(b"u", (1,), 0, 3)],
        F32_ROW[:7],
        alignment=1,
    ),
    "custom alignment 128 with data": file(
        [pair(b"general.alignment", forge.U32, 128)],
        [tensor(b"t", (1,), 0, 0), tensor(b"u", (1,), 0, 128)],
        bytes(256),
        alignment=128,
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_llama_cpp_accepts_is_healthy(tmp_path, case):
    assert status_and_codes(save(tmp_path, ACCEPTED[case])) == (HealthStatus.HEALTHY, set())


def preamble(version=3, tensors=0, fields=0):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields)


def one_tensor(name=b"t", shape=(32,), kind=0, offset=0, data=F32_ROW, fields=()):
    return file(fields, [tensor(name, shape, kind, offset)], data)


ALIGN_13 = pair(b"general.alignment", forge.U32, 13)

HUGE = 0x7FFFFFFFFFFFFFC0

TWO_HUGE = [tensor(b"t", (HUGE,), 24, 0), tensor(b"u", (HUGE,), 24, HUGE)]

REFUSED = {
    "magic FUGG": (b"FUGG" + preamble()[4:], "bad-magic"),
    "version 0": (preamble(version=0), "unsupported-version"),
    "a future version": (preamble(version=4), "unsupported-version"),
    "n_tensors -1": (preamble(tensors=2**64 - 1), "impossible-count"),
    "n_kv -1": (preamble(fields=2**64 - 1), "impossible-count"),
    "key length -1": (preamble(fields=1) + b"\xff" * 8 + bytes(64), "bad-key"),
    "empty key": (file([pair(b"", forge.U32, 1)]), "bad-key"),
    "key beyond 65535 bytes": (file([pair(b"k" * 65536, forge.U32, 1)]), "bad-key"),
    "key that is not UTF-8": (file([pair(b"k\xff", forge.U32, 1)]), "bad-key"),
    "value type 13": (file([string(b"key") + struct.pack("<IQ", 13, 0)]), "unknown-value-type"),
    "array of value type 13": (
        file([string(b"key") + struct.pack("<IIQ", 9, 13, 1) + bytes(8)]),
        "unknown-value-type",
    ),
    "duplicate key": (file([pair(b"key", forge.U8, 1), pair(b"key", forge.U8, 1)]), "duplicate-key"),
    "alignment 13": (file([ALIGN_13]), "bad-alignment"),
    "alignment 0": (file([pair(b"general.alignment", forge.U32, 0)]), "bad-alignment"),
    "alignment typed INT32": (file([pair(b"general.alignment", forge.I32, 32)]), "bad-alignment"),
    "tensor name of 64 bytes": (one_tensor(name=b"n" * 64), "bad-tensor-name"),
    "tensor name that is not UTF-8": (one_tensor(name=b"n\xff"), "bad-tensor-name"),
    "5 dimensions": (one_tensor(shape=(2, 2, 2, 2, 2)), "bad-shape"),
    "a dimension -1": (one_tensor(shape=(2**64 - 1,)), "bad-shape"),
    "a dimension -1 beside a zero": (one_tensor(shape=(2**64 - 1, 0)), "bad-shape"),
    "element count overflow": (one_tensor(shape=(4 * (2**31 - 1),) * 2), "bad-shape"),
    "byte size overflow with I64": (one_tensor(shape=(1_518_500_250,) * 2, kind=27), "truncated"),
    "row that is no whole number of blocks": (one_tensor(shape=(33,), kind=8), "bad-shape"),
    "type = COUNT": (one_tensor(kind=43), "unknown-tensor-type"),
    "type -1": (one_tensor(kind=2**32 - 1), "unknown-tensor-type"),
    "removed type": (one_tensor(kind=31), "removed-tensor-type"),
    "offset -1": (one_tensor(offset=2**64 - 1), "truncated"),
    "duplicate tensor name": (
        file([], [tensor(b"t", (32,), 0, 0), tensor(b"t", (32,), 0, 128)], bytes(256)),
        "duplicate-tensor",
    ),
    "tensors with alignment 13": (file([ALIGN_13], [tensor(b"t", (32,), 0, 0)], bytes(256)), "bad-alignment"),
    "offsets laid out with another alignment": (
        file([], [tensor(b"t", (3,), 0, 0), tensor(b"u", (3,), 0, 12)], bytes(128)),
        "misaligned-tensor",
    ),
    "overlapping tensors": (
        file([], [tensor(b"t", (32,), 0, 0), tensor(b"u", (32,), 0, 64)], bytes(256)),
        "overlapping-tensors",
    ),
    "data one byte short": (one_tensor(data=F32_ROW[:-1]), "truncated"),
    "padding one byte short": (one_tensor(shape=(3,), data=bytes(31)), "truncated"),
    "no data at all": (one_tensor(data=b""), "truncated"),
    "two I8 tensors of 0x7FFFFFFFFFFFFFC0": (file([], TWO_HUGE, bytes(32)), "truncated"),
    "dimensions whose size wraps to 0": (one_tensor(shape=(4, 2**30 - 1, 2**30 + 1, 1)), "truncated"),
    "offset and size past the end": (one_tensor(offset=2**63 - 2**5), "truncated"),
    "sum of sizes that wraps": (
        file([], [tensor(b"t", (2**62 - 8,), 0, 0), tensor(b"u", (8,), 0, 2**64 - 32)], bytes(64)),
        "truncated",
    ),
    "4 bytes": (b"GGUF", "truncated"),
    "7 bytes": (b"GGUF\x03\x00\x00", "truncated"),
    "no bytes": (b"", "bad-magic"),
    "24 bytes with n_kv 2**32": (preamble(fields=2**32), "impossible-count"),
    "n_kv that wraps when multiplied": (preamble(fields=2**64 // 48 + 1), "impossible-count"),
    "n_tensors that wraps when multiplied": (preamble(tensors=2**64 // 88 + 1), "impossible-count"),
    "32 bytes with key length 0xFFFFFFFFFFFF": (
        preamble(fields=1) + struct.pack("<Q", 0xFFFFFFFFFFFF),
        "impossible-count",
    ),
    "key length 0xFFFFFFFFFFFF": (
        preamble(fields=1) + struct.pack("<Q", 0xFFFFFFFFFFFF) + bytes(8),
        "bad-key",
    ),
    "49 bytes with a huge array": (
        (preamble(fields=1) + string(b"k") + struct.pack("<IIQ", 9, 4, 2**40)).ljust(49, b"\0"),
        "impossible-count",
    ),
    "string array whose byte count wraps": (
        file([string(b"k") + struct.pack("<IIQ", 9, 8, 2**61) + bytes(64)]),
        "impossible-count",
    ),
    "array of arrays with a huge count": (
        file([string(b"k") + struct.pack("<IIQ", 9, 9, 2**60) + bytes(64)]),
        "impossible-count",
    ),
    "string length 2**64 - 1": (file([string(b"k") + struct.pack("<IQ", 8, 2**64 - 1)]), "truncated"),
    "header cut within a value": (file([pair(b"key", forge.U64, 1)])[:-3], "truncated"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_llama_cpp_refuses_is_unhealthy_and_named(tmp_path, case):
    content, code = REFUSED[case]
    result = verdict(save(tmp_path, content))
    assert result.status is HealthStatus.UNHEALTHY
    finding = result.finding(code)
    assert finding.file == "model.gguf"
    assert finding.offset is not None
    assert finding.offset <= len(content)
    assert "model.gguf" in finding.message


def test_a_header_without_its_data_is_read_and_only_the_data_is_missed(tmp_path):
    path = save(tmp_path, file([ARCHITECTURE], [tensor(b"t", (32,), 0, 0), tensor(b"u", (32,), 0, 128)]))
    result = verdict(path)
    assert result.codes == {"truncated"}
    assert (result.metadata.architecture, result.metadata.parameters) == ("llama", 64)


def test_version_1_is_read_and_degraded_because_loaders_refuse_it(tmp_path):
    path = save(tmp_path, file([pair(b"a", forge.STRING, b"b", "<", "I")], version=1))
    assert status_and_codes(path) == (HealthStatus.DEGRADED, {"old-version"})


def test_big_endian_files_are_healthy_and_said_to_be_big_endian(tmp_path):
    path = save(tmp_path, file([pair(b"a", forge.STRING, b"b", ">")], order=">"))
    assert status_and_codes(path) == (HealthStatus.HEALTHY, {"big-endian"})


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (pair(b"a.text", forge.STRING, b"caf\xe9"), "invalid-utf-8"),
        (pair(b"a.texts", forge.ARRAY, (forge.STRING, [b"good", b"\xff"])), "invalid-utf-8"),
        (pair(b"a.flag", forge.U8, 1)[:-5] + struct.pack("<IB", forge.BOOL, 2), "invalid-bool"),
        (string(b"a.flags") + struct.pack("<IIQ", 9, 7, 2) + b"\1\3", "invalid-bool"),
        (pair(b"a\0b", forge.U8, 1), "odd-key"),
        (pair(b"GGUF.version", forge.U8, 1), "odd-key"),
    ],
)
def test_a_breach_that_hinders_no_loader_degrades(tmp_path, field, code):
    assert status_and_codes(save(tmp_path, file([field]))) == (HealthStatus.DEGRADED, {code})


def test_a_key_in_another_style_is_only_mentioned(tmp_path):
    path = save(tmp_path, file([pair(b"Some.Key", forge.U8, 1)]))
    assert status_and_codes(path) == (HealthStatus.HEALTHY, {"key-style"})


def test_hyphens_in_an_architecture_are_ordinary(tmp_path):
    path = save(tmp_path, file([pair(b"gpt-oss.expert_count", forge.U32, 4)]))
    assert status_and_codes(path) == (HealthStatus.HEALTHY, set())


def test_what_comes_before_a_fault_is_reported_and_sums_are_not(tmp_path):
    good = [ARCHITECTURE, pair(b"llama.context_length", forge.U32, 8192)]
    content = file([*good, pair(b"general.alignment", forge.U32, 7)], [tensor(b"t", (32,), 0, 0)], F32_ROW)
    metadata = verdict(save(tmp_path, content)).metadata
    assert (metadata.architecture, metadata.context_length) == ("llama", 8192)
    assert (metadata.parameters, metadata.tensor_count, metadata.quantization) == (None, None, None)


def test_a_truncated_header_says_where_it_was_reading(tmp_path):
    content = file([ARCHITECTURE, pair(b"general.name", forge.STRING, b"A long name")])
    message = verdict(save(tmp_path, content[:-4])).finding("truncated").message
    assert "key-value pair 2 of 2 ('general.name')" in message
    assert "download" in message


def reference(path):
    """Fields and tensors as the gguf package reads them."""
    read = gguf.GGUFReader(path)
    fields = {key: one for key, one in read.fields.items() if not key.startswith("GGUF.")}
    return read, fields


def assert_same_as_reference(path):
    header = parsed(path)
    read, fields = reference(path)
    assert header.fault is None
    assert list(header.fields) == list(fields)
    for key, theirs in fields.items():
        ours = header.fields[key]
        assert ours.kind == theirs.types[0]
        contents = theirs.contents()
        if theirs.types[0] == gguf.GGUFValueType.ARRAY:
            assert ours.length == len(contents)
            assert not contents or ours.item_kind == theirs.types[1]
            assert ours.value is None or list(ours.value) == contents
            assert (ours.value is None) == (len(contents) > 512)
        else:
            assert ours.value == contents
    assert [
        (one.name, list(one.shape), one.type, one.elements, one.size, header.data_offset + one.offset)
        for one in header.tensors
    ] == [
        (one.name, one.shape.tolist(), one.tensor_type, one.n_elements, one.n_bytes, one.data_offset)
        for one in read.tensors
    ]
    assert header.alignment == read.alignment
    return header


def test_real_files_read_as_the_gguf_package_reads_them(corpus):
    paths = sorted((corpus / "gguf").glob("ggml-vocab-*.gguf"))
    assert paths
    for path in paths:
        assert_same_as_reference(path)


@pytest.mark.parametrize("endianess", list(gguf.GGUFEndian))
def test_every_value_type_reads_as_the_gguf_package_reads_it(tmp_path, endianess):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "test", endianess=endianess)
    for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        getattr(writer, f"add_{kind}")(f"test.{kind}", 100)
    writer.add_float32("test.float32", 1.5)
    writer.add_float64("test.float64", 2.5)
    writer.add_bool("test.bool", val=True)
    writer.add_string("test.string", "Grüße\n\t\0")
    for items in ([1, 2], [1.5], ["a", "", "ü"], [True, False], list(range(600)), ["w"] * 600):
        writer.add_array(f"test.array_{len(writer.kv_data[0])}", items)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert len(assert_same_as_reference(tmp_path / "m.gguf").fields) == 19


@pytest.mark.parametrize("endianess", list(gguf.GGUFEndian))
def test_every_tensor_type_reads_as_the_gguf_package_reads_it(tmp_path, endianess):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "test", endianess=endianess)
    rng = np.random.default_rng(7)
    kinds = {kind: one for kind, one in gguf.GGML_QUANT_SIZES.items() if kind.name != "Q8_1"}  # in no file
    for kind, (block, size) in kinds.items():
        raw = rng.integers(0, 256, (3, 2, 256 // block * size), dtype=np.uint8)
        writer.add_tensor(f"blk.{int(kind)}.weight", raw, raw_dtype=kind)
    writer.add_tensor("vector", np.arange(5, dtype=np.float32))
    writer.add_tensor("cube", np.zeros((2, 3, 4, 5), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = assert_same_as_reference(tmp_path / "m.gguf")
    assert len(header.tensors) == len(kinds) + 2
    assert verdict(tmp_path / "m.gguf").status is HealthStatus.HEALTHY


@pytest.mark.parametrize("endianess", list(gguf.GGUFEndian))
def test_a_whole_model_reads_as_the_gguf_package_reads_it(tmp_path, endianess):
    assert_same_as_reference(write_llama(tmp_path / "m.gguf", endianess=endianess, tokens=3000))


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    return write_llama(tmp_path_factory.mktemp("small") / "m.gguf", tokens=5).read_bytes()


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_header_that_is_called_healthy_loads(tmp_path, small_model, data):
    content = bytearray(small_model)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, 1400))
        content[position] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 8, 9, 255])))
    path = save(tmp_path, bytes(content[: data.draw(st.sampled_from([len(content), len(content) - 1, 900]))]))
    result = verdict(path)
    if result.status is HealthStatus.HEALTHY:
        read, fields = reference(path)
        assert len(read.tensors) == result.metadata.tensor_count
        for field in fields.values():
            field.contents()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tail=st.binary(max_size=300),
    tensors=st.integers(0, 3),
    fields=st.integers(0, 5),
    order=st.sampled_from("<>"),
)
def test_any_bytes_behind_the_preamble_give_a_header(tmp_path, tail, tensors, fields, order):
    path = save(tmp_path, b"GGUF" + struct.pack(order + "IQQ", 3, tensors, fields) + tail)
    header = parsed(path)
    assert header.fault is not None or len(header.fields) == fields
    assert header.end <= len(tail) + 24


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4108917152\n"


@pytest.mark.parametrize(
    ("content", "code", "advice"),
    [
        (LFS_POINTER, "git-lfs-pointer", "git lfs pull"),
        (b"FUGG" + bytes(60), "bad-magic", "swapped"),
        (bytes(4096), "bad-magic", "zeros"),
        (b"<!DOCTYPE html><html>Not found</html>", "bad-magic", "web page"),
        (b"PK\x03\x04" + bytes(60), "bad-magic", "no GGUF file"),
        (b"", "bad-magic", "no GGUF file"),
    ],
)
def test_what_stands_in_place_of_the_model_is_named(tmp_path, content, code, advice):
    result = verdict(save(tmp_path, content))
    assert result.status is HealthStatus.UNHEALTHY
    assert advice in result.finding(code).message


def test_the_text_mangled_file_is_unhealthy_and_says_what_happened(corpus):
    result = verdict(corpus / "gguf" / "mangled-as-text-llama-spm.gguf")
    assert result.status is HealthStatus.UNHEALTHY
    assert "text tool" in result.finding("mangled-as-text").message


def mangled(content: bytes) -> bytes:
    return content.decode("utf-8", errors="replace").encode()


def test_a_mangled_header_is_recognised(tmp_path):
    whole = write_llama(tmp_path / "whole.gguf", **{"a.epsilon": [0.001, -1.0]}).read_bytes()
    result = verdict(save(tmp_path, mangled(whole)))
    assert result.codes >= {"mangled-as-text"}


def test_mangled_tensors_behind_a_plain_header_are_recognised(tmp_path):
    weights = bytes(range(256)) * 16
    whole = file([pair(b"a", forge.U8, 1)], [tensor(b"t", (1024,), 0, 0)], weights)
    assert verdict(save(tmp_path, whole)).status is HealthStatus.HEALTHY
    result = verdict(save(tmp_path, mangled(whole)))
    assert result.status is HealthStatus.UNHEALTHY
    assert result.codes == {"mangled-as-text"}


def test_a_replacement_character_in_a_sound_file_is_no_mangling(tmp_path):
    name = "a\N{REPLACEMENT CHARACTER}b".encode()
    assert verdict(save(tmp_path, file([pair(b"general.name", forge.STRING, name)]))).codes == set()


def test_a_cut_header_with_binary_numbers_is_truncated_not_mangled(tmp_path):
    fields = [
        pair(b"a.epsilon", forge.F32, -1e-5),
        pair(b"a.name", forge.STRING, "\N{REPLACEMENT CHARACTER}".encode()),
        pair(b"a.last", forge.U64, 1),
    ]
    assert verdict(save(tmp_path, file(fields)[:-2])).codes == {"truncated"}
