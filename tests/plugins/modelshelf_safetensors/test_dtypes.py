from __future__ import annotations

import re

import pytest

from modelshelf_safetensors.header import parse_header
from modelshelf_safetensors.layout import BITS
from tests.plugins.modelshelf_safetensors.raw import TENSOR, fault_of_reference, header_of, whole


def test_the_table_names_the_very_dtypes_of_the_reference():
    message = fault_of_reference(whole(TENSOR.replace(b"F32", b"NO_SUCH_DTYPE")))
    assert message is not None
    assert set(re.findall(r"`([A-Z0-9_]+)`", message.split("expected one of")[1])) == set(BITS)


@pytest.mark.parametrize("dtype", BITS)
def test_each_width_is_the_one_that_the_reference_computes(dtype):
    size = BITS[dtype]  # bytes of eight elements
    header = header_of(dtype, [8], 0, size)
    assert fault_of_reference(whole(header, bytes(size))) is None
    assert fault_of_reference(whole(header_of(dtype, [8], 0, size + 1), bytes(size + 1))) is not None
    assert parse_header(header).layouts[0].size == size
