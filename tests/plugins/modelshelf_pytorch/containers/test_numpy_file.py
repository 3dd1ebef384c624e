from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import ReadError
from modelshelf.model import HealthStatus
from modelshelf_pytorch.containers.numpy_file import parse_literal, read
from modelshelf_pytorch.readers import BytesReader
from tests.plugins.modelshelf_pytorch.forge import look_at

STRUCTURE = [("a", "<f4"), ("b", "<i2", (2,)), ("c", [("d", "u1")])]


def npy(array, **options) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u2", "<i4", ">i8", "f2", "<f4", ">f8", "c8", "c16", "S5", "U3", "M8[s]", STRUCTURE]
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_is_read_as_numpy_wrote_it(tmp_path, dtype, shape, version):
    array = np.zeros(shape, dtype=dtype)
    result = look_at(tmp_path, npy(array, version=version), "a.npy")
    assert (result.format, result.findings) == ("numpy", ())
    assert result.metadata.parameters == array.size


def test_element_types_have_the_names_that_safetensors_uses(tmp_path):
    names = {"f2": "F16", "f4": "F32", "f8": "F64", "i8": "I64", "u1": "U8", "?": "BOOL", "c8": "C64"}
    for dtype, name in names.items():
        assert look_at(tmp_path, npy(np.zeros(2, dtype)), "a.npy").metadata.tensor_types == {name: 1}


def test_an_array_that_is_cut_short_is_unhealthy_and_trailing_bytes_degrade(tmp_path):
    data = npy(np.zeros(9))
    assert look_at(tmp_path, data[:-1], "a.npy").codes == ["truncated"]
    assert look_at(tmp_path, data + b"x", "a.npy").codes == ["trailing-data"]


def test_an_array_of_objects_degrades_and_what_it_names_is_judged(tmp_path):
    harmless = npy(np.array([1, "a"], dtype=object), allow_pickle=True)
    assert look_at(tmp_path, harmless, "a.npy").status is HealthStatus.DEGRADED
    hostile = npy(np.array([print], dtype=object), allow_pickle=True)
    result = look_at(tmp_path, hostile, "a.npy")
    assert "builtins.print" in result.text
    assert result.status is HealthStatus.UNHEALTHY


def test_an_archive_of_arrays_lists_them_and_judges_their_objects(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.ones(3), y=np.zeros((2, 2), "f4"))
    result = look_at(tmp_path, (tmp_path / "a.npz").read_bytes(), "b.npz")
    assert (result.format, result.findings, result.metadata.tensor_types) == (
        "numpy",
        (),
        {"F64": 1, "F32": 1},
    )
    np.savez(tmp_path / "c.npz", x=np.array([print], dtype=object))
    assert "builtins.print" in look_at(tmp_path, (tmp_path / "c.npz").read_bytes(), "d.npz").text


@pytest.mark.parametrize(
    "text",
    [
        "{'a': 1,}",
        "[(1, 2), 'x']",
        "()",
        "(1,)",
        "(1)",
        "{}",
        "{'a': [True, False, None], \"b\": (3, 4), }",
        "  [ ]  ",
    ],
)
def test_a_literal_reads_as_python_reads_it(text):
    import ast

    assert parse_literal(text) == ast.literal_eval(text.strip())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{'a' 1}",
        "[1 2]",
        "print()",
        "{1: 2}",
        "'a' 'b'",
        "1+1",
        "[" * 100,
        "{'a': 1} x",
        "__import__('os')",
        "(1,,)",
    ],
)
def test_anything_but_a_literal_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_literal(text)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 127), st.integers(0, 255), st.binary(max_size=60))
def test_a_mutated_array_raises_nothing_but_a_read_error(place, byte, tail):
    data = bytearray(npy(np.zeros(2, dtype=STRUCTURE)) + tail)
    data[place] = byte
    for one in (bytes(data), b"\x93NUMPY" + tail):
        with contextlib.suppress(ReadError):
            read(BytesReader(one))
