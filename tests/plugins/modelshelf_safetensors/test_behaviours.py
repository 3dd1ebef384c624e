"""Each way of writing a header that the reference loader was asked about, its answer, and ours."""

from __future__ import annotations

import pytest

from modelshelf.errors import ReadError
from modelshelf.model import Depth, HealthStatus
from modelshelf.model.health import status_of
from modelshelf_safetensors.health import probe
from tests.plugins.modelshelf_safetensors.raw import FIELDS, TENSOR, fault_of_reference, header_of, whole
from tests.support import reader_of

HEALTHY, DEGRADED, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY

BEFORE = TENSOR[:-1] + b',"b":'


def tensor(fields: bytes) -> bytes:
    return b'{"a":{%s}}' % fields


def with_field(value: bytes) -> bytes:
    return tensor(FIELDS + b',"x":' + value)


def shaped(shape: bytes) -> bytes:
    return tensor(b'"dtype":"F32","shape":%s,"data_offsets":[0,4]' % shape)


def offset(offsets: bytes) -> bytes:
    return tensor(b'"dtype":"F32","shape":[1],"data_offsets":%s' % offsets)


def named(name: bytes) -> bytes:
    return b'{"%s":{%s}}' % (name, FIELDS)


def with_metadata(metadata: bytes) -> bytes:
    return b'{"__metadata__":%s,"a":{%s}}' % (metadata, FIELDS)


def two(first: tuple[bytes, int, int], second: tuple[bytes, int, int]) -> bytes:
    """Two tensors of bytes: shape, begin, end of each."""
    one = b'"%s":{"dtype":"U8","shape":%s,"data_offsets":[%d,%d]}'
    return b"{" + one % (b"a", *first) + b"," + one % (b"b", *second) + b"}"


# Header, data and whether the reference loader takes it. What it takes is healthy here.
TAKEN = {
    "plain": TENSOR,
    "padded with spaces": TENSOR + b"   ",
    "trailing white space": TENSOR + b"\n\t\r ",
    "white space everywhere": (
        b'{ "a" : { "dtype" : "F32" , "shape" : [ 1 ] , "data_offsets" : [ 0 , 4 ] } }'
    ),
    "fields in another order": tensor(b'"data_offsets":[0,4],"shape":[1],"dtype":"F32"'),
    "scalar": shaped(b"[]"),
    "several dimensions of one": shaped(b"[1,1,1]"),
    "empty metadata": with_metadata(b"{}"),
    "metadata": with_metadata(b'{"k":"v"}'),
    "metadata at the end": TENSOR[:-1] + b',"__metadata__":{"k":"v"}}',
    "escaped metadata key": with_metadata(b'{"\\u006b":"v"}').replace(b"__m", b"\\u005f_m"),
    "empty name": named(b""),
    "name with an escaped ESC and NUL": named(b"\\u001b\\u0000"),
    "name with DEL": named(b"\x7f"),
    "name beyond ASCII": named("té📦".encode()),
    "name with a surrogate pair": named(b"\\ud83d\\ude00"),
    "name with an escaped backslash before u": named(b"\\\\ud800"),
    "escaped field name": tensor(FIELDS.replace(b"dtype", b"dt\\u0079pe")),
    "escaped dtype": tensor(FIELDS.replace(b"F32", b"\\u0046\\u0033\\u0032")),
    "dtype as an enumeration object": tensor(FIELDS.replace(b'"F32"', b'{"F32":null}')),
    "tensor as an array of its fields": b'{"a":["F32",[1],[0,4]]}',
    "empty tensor at the end": BEFORE + b'{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}',
    "empty tensor at the beginning": BEFORE + b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    "empty tensor of huge other dimensions": (
        BEFORE + b'{"dtype":"F32","shape":[0,9223372036854775808,4],"data_offsets":[4,4]}}'
    ),
    "tensors in another order than their data": two((b"[2]", 2, 4), (b"[2]", 0, 2)),
    "eight elements of four bits": header_of("F4", [8], 0, 4),
    "complex": BEFORE + b'{"dtype":"C64","shape":[0],"data_offsets":[4,4]}}',
}

# The five places where the loader is laxer than its specification: degraded here.
LAX = {
    "duplicate-tensor": b'{"a":{%s},"a":{%s}}' % (FIELDS, FIELDS),
    "duplicate-metadata-key": with_metadata(b'{"k":"v","k":"w"}'),
    "leading-whitespace": b" \n" + TENSOR,
    "null-metadata": with_metadata(b"null"),
    "unknown-tensor-field": with_field(b"1"),
}

REFUSED = {
    "empty header": b"",
    "white space alone": b"  ",
    "byte order mark": b"\xef\xbb\xbf" + TENSOR,
    "NUL padding": TENSOR + b"\0\0",
    "text after the object": TENSOR + b"x",
    "cut off": TENSOR[:-1],
    "form feed": b"{\x0c" + TENSOR[1:],
    "trailing comma": TENSOR[:-1] + b",}",
    "single quotes": TENSOR.replace(b'"', b"'"),
    "array": b"[]",
    "number": b"1",
    "text": b'"a"',
    "null": b"null",
    "metadata that is a list": with_metadata(b"[]"),
    "metadata that is text": with_metadata(b'"x"'),
    "metadata that is a list of pairs": with_metadata(b'[["a","b"]]'),
    "metadata with a number": with_metadata(b'{"k":1}'),
    "metadata with null": with_metadata(b'{"k":null}'),
    "metadata with an object": with_metadata(b'{"k":{}}'),
    "metadata that is a tensor": b'{"__metadata__":{%s}}' % FIELDS,
    "metadata twice": b'{"__metadata__":{},"__metadata__":{},"a":{%s}}' % FIELDS,
    "metadata twice, once null": b'{"__metadata__":null,"__metadata__":{},"a":{%s}}' % FIELDS,
    "metadata with half a surrogate pair": with_metadata(b'{"k":"\\ud800"}'),
    "tensor that is null": b'{"a":null}',
    "tensor that is a number": b'{"a":1}',
    "tensor of two fields in an array": b'{"a":["F32",[1]]}',
    "tensor of four fields in an array": b'{"a":["F32",[1],[0,4],1]}',
    "first of two equal names broken": b'{"a":{"dtype":"F32"},"a":{%s}}' % FIELDS,
    "no dtype": tensor(b'"shape":[1],"data_offsets":[0,4]'),
    "no shape": tensor(b'"dtype":"F32","data_offsets":[0,4]'),
    "no offsets": tensor(b'"dtype":"F32","shape":[1]'),
    "dtype twice": tensor(b'"dtype":"F32",' + FIELDS),
    "dtype in lower case": tensor(FIELDS.replace(b"F32", b"f32")),
    "dtype that is a number": tensor(FIELDS.replace(b'"F32"', b"0")),
    "dtype that is a list": tensor(FIELDS.replace(b'"F32"', b'["F32"]')),
    "dtype as an object with a value": tensor(FIELDS.replace(b'"F32"', b'{"F32":1}')),
    "shape that is null": shaped(b"null"),
    "shape that is text": shaped(b'"1"'),
    "shape that is an object": shaped(b"{}"),
    "dimension as a float": shaped(b"[1.0]"),
    "dimension as a bool": shaped(b"[true]"),
    "dimension as text": shaped(b'["1"]'),
    "dimension below zero": shaped(b"[-1]"),
    "dimension of null": shaped(b"[null]"),
    "dimension NaN": shaped(b"[NaN]"),
    "dimension Infinity": shaped(b"[Infinity]"),
    "dimension of five thousand digits": shaped(b"[%s]" % (b"1" * 5000)),
    "offset minus zero": offset(b"[-0,4]"),
    "offset with an exponent": offset(b"[0,4e0]"),
    "offset with a leading zero": offset(b"[0,04]"),
    "offset of 2^64": offset(b"[0,18446744073709551616]"),
    "offset of 2^64 - 1": offset(b"[0,18446744073709551615]"),
    "three offsets": offset(b"[0,4,4]"),
    "one offset": offset(b"[0]"),
    "offsets in an object": offset(b'{"begin":0,"end":4}'),
    "end before begin": offset(b"[4,0]"),
    "size other than the shape's": shaped(b"[2]"),
    "elements past 64 bits": (
        BEFORE + b'{"dtype":"F32","shape":[9223372036854775808,4,0],"data_offsets":[4,4]}}'
    ),
    "bits past 64 bits": tensor(b'"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,4]'),
    "hole": two((b"[1]", 0, 1), (b"[2]", 2, 4)),
    "hole at the beginning": two((b"[1]", 1, 2), (b"[2]", 2, 4)),
    "overlap": two((b"[3]", 0, 3), (b"[2]", 2, 4)),
    "two tensors on the same bytes": two((b"[4]", 0, 4), (b"[4]", 0, 4)),
    "empty tensor in the midst of another": two((b"[4]", 0, 4), (b"[0]", 2, 2)),
    "odd number of four-bit elements": header_of("F4", [7], 0, 4),
    "raw control character in a name": named(b"\x1b"),
    "raw NUL in a name": named(b"\0"),
    "half a surrogate pair in a name": named(b"\\ud800"),
    "other half of a surrogate pair in a name": named(b"\\udc00"),
    "surrogate halves the wrong way round": named(b"\\ude00\\ud83d"),
    "unknown escape": named(b"\\x41"),
    "name that is not UTF-8": named(b"\xff"),
    "surrogate encoded as UTF-8": named(b"\xed\xa0\x80"),
    "nested too deep": with_field(b"[" * 126 + b"]" * 126),
    "nested a hundred thousand deep": with_field(b"[" * 100_000 + b"]" * 100_000),
    "nested and never closed": b'{"a":' * 50_000,
    "NaN in an unknown field": with_field(b"NaN"),
    "number out of range in an unknown field": with_field(b"1e999"),
    "half a surrogate pair in an unknown field": with_field(b'"\\ud800"'),
}


def verdict(tmp_path, content: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with reader_of(path) as reader:
        try:
            findings = tuple(probe(reader.artifact, reader, Depth.HEADER))
        except ReadError as error:
            return UNHEALTHY, {error.code}
    return status_of(findings), {finding.code for finding in findings}


@pytest.mark.parametrize("case", TAKEN)
def test_what_the_reference_takes_is_healthy(tmp_path, case):
    content = whole(TAKEN[case])
    assert fault_of_reference(content) is None
    assert verdict(tmp_path, content)[0] is HEALTHY


def test_a_header_without_tensors_is_healthy(tmp_path):
    assert fault_of_reference(whole(b"{}", b"")) is None
    assert verdict(tmp_path, whole(b"{}", b"")) == (HEALTHY, set())


@pytest.mark.parametrize("code", LAX)
def test_what_only_the_specification_refuses_is_degraded_and_named(tmp_path, code):
    content = whole(LAX[code])
    assert fault_of_reference(content) is None
    assert verdict(tmp_path, content) == (DEGRADED, {code})


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_reference_refuses_is_unhealthy(tmp_path, case):
    content = whole(REFUSED[case])
    assert fault_of_reference(content) is not None
    assert verdict(tmp_path, content)[0] is UNHEALTHY


@pytest.mark.parametrize("depth", [120, 125])
def test_depth_that_the_reference_bears_is_only_an_unknown_field(tmp_path, depth):
    content = whole(with_field(b"[" * depth + b"]" * depth))
    assert fault_of_reference(content) is None
    assert verdict(tmp_path, content) == (DEGRADED, {"unknown-tensor-field"})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "truncated"),
        (b"1234567", "truncated"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "header-too-large"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "header-too-large"),
        ((50).to_bytes(8, "little") + b"{}", "truncated"),
        ((1).to_bytes(8, "little") + b"{", "malformed-header"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git-lfs-pointer"),
        (whole(TENSOR, bytes(3)), "truncated"),
        (whole(TENSOR, b""), "truncated"),
        (whole(TENSOR, bytes(5)), "trailing-bytes"),
        (whole(TENSOR, bytes(4) + b"PK\x05\x06" + bytes(18)), "trailing-bytes"),
    ],
)
def test_a_file_that_is_not_whole_is_unhealthy_and_named(tmp_path, content, code):
    assert fault_of_reference(content) is not None
    assert verdict(tmp_path, content) == (UNHEALTHY, {code})


def test_an_unknown_dtype_is_a_warning(tmp_path):
    content = whole(TENSOR.replace(b"F32", b"F3_NEW"))
    assert verdict(tmp_path, content) == (DEGRADED, {"unknown-dtype"})


def test_an_unknown_dtype_still_has_its_offsets_checked(tmp_path):
    content = whole(header_of("F3_NEW", [1], 1, 4))
    assert verdict(tmp_path, content) == (UNHEALTHY, {"unknown-dtype", "tensor-gap"})
