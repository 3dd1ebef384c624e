from __future__ import annotations

import gguf

from modelshelf_gguf.layout import DEFAULT_ALIGNMENT, ValueType


def test_value_types_are_those_of_the_gguf_package():
    assert {one.name: one.value for one in ValueType} == {one.name: one.value for one in gguf.GGUFValueType}


def test_default_alignment_is_that_of_the_gguf_package():
    assert DEFAULT_ALIGNMENT == gguf.GGUF_DEFAULT_ALIGNMENT
