from __future__ import annotations

import gguf

from modelshelf_gguf.header import DEFAULT_ALIGNMENT
from modelshelf_gguf.tables import FILE_TYPES, REMOVED_TENSOR_TYPES, TENSOR_TYPES, ValueType, file_type_name

NEWER_THAN_THE_PACKAGE = {42}


def test_value_types_are_those_of_the_gguf_package():
    assert {one.name: one.value for one in ValueType} == {one.name: one.value for one in gguf.GGUFValueType}


def test_tensor_types_and_their_block_sizes_are_those_of_the_gguf_package():
    theirs = {
        int(one): (one.name, *gguf.GGML_QUANT_SIZES[one])
        for one in gguf.GGMLQuantizationType
        if one in gguf.GGML_QUANT_SIZES
    }
    ours = {number: tuple(one) for number, one in TENSOR_TYPES.items()}
    assert theirs.items() <= ours.items()
    assert ours.keys() - theirs.keys() <= NEWER_THAN_THE_PACKAGE


def test_every_number_up_to_the_newest_is_a_type_or_a_known_hole():
    assert TENSOR_TYPES.keys() | REMOVED_TENSOR_TYPES.keys() == set(range(max(TENSOR_TYPES) + 1))


def test_file_type_names_are_those_of_the_gguf_package():
    theirs = {
        int(one): one.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for one in gguf.LlamaFileType
        if one is not gguf.LlamaFileType.GUESSED
    }
    assert theirs.items() <= FILE_TYPES.items()


def test_a_guessed_file_type_keeps_its_name():
    assert file_type_name(15 | gguf.LlamaFileType.GUESSED) == "Q4_K_M"
    assert file_type_name(999) is None


def test_default_alignment_is_that_of_the_gguf_package():
    assert DEFAULT_ALIGNMENT == gguf.GGUF_DEFAULT_ALIGNMENT
