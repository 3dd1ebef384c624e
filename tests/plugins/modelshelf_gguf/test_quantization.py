from __future__ import annotations

import math

import gguf
import pytest

from modelshelf.model import HealthStatus
from modelshelf_gguf.header import TensorInfo
from modelshelf_gguf.quantization import (
    _FALLBACKS,
    _FAMILIES,
    FILE_TYPES,
    REMOVED_TENSOR_TYPES,
    TENSOR_TYPES,
    file_type_name,
    quantization_of,
)
from tests.plugins.modelshelf_gguf.forge import verdict, write_llama

NUMBERS = {one.name: number for number, one in TENSOR_TYPES.items()}

NORM = ("F32", (4096,))
EMBEDDINGS = "token_embd.weight"


def tensors(*kinds):
    for index, (name, shape, *names) in enumerate(kinds):
        tensor = names[0] if names else f"blk.{index}.ffn_up.weight"
        yield TensorInfo(tensor, shape, NUMBERS[name], 0, math.prod(shape), None, 0)


def named(declared, *kinds):
    return quantization_of(declared, tensors(*kinds)).name


@pytest.mark.parametrize(
    ("declared", "kinds"),
    [
        ("Q4_K_M", [("Q4_K", (256, 900)), ("Q6_K", (256, 100)), NORM]),
        ("Q4_K_M", [("Q4_K", (256, 100)), ("Q6_K", (256, 900))]),
        ("Q4_K_M", [("Q5_0", (256, 900)), ("Q8_0", (256, 100))]),
        ("Q4_K_S", [("F16", (256, 900), EMBEDDINGS), ("Q4_K", (256, 100))]),
        # gemma-3-270m: embeddings that are the output too, in rows of 640, outweigh its blocks
        (
            "Q4_K_M",
            [
                ("Q8_0", (640, 2621), EMBEDDINGS),
                ("Q5_0", (640, 700)),
                ("Q8_0", (640, 100)),
                ("Q4_K", (2048, 100)),
                ("Q6_K", (2048, 50)),
            ],
        ),
        ("IQ4_XS", [("IQ4_NL", (640, 900)), ("Q5_0", (640, 100)), ("Q8_0", (640, 900), EMBEDDINGS)]),
        ("Q5_K_M", [("Q8_0", (640, 900), EMBEDDINGS), ("Q5_1", (640, 900)), ("Q8_0", (640, 200))]),
        ("Q8_0", [("Q8_0", (256, 9)), NORM]),
        ("F16", [("F16", (256, 9)), NORM]),
        ("BF16", [("BF16", (256, 9)), NORM]),
        ("F32", [("F32", (256, 9))]),
        ("MXFP4_MOE", [("MXFP4", (256, 9)), ("Q8_0", (256, 2))]),
        ("IQ2_XS", [("IQ2_XS", (256, 9)), ("Q4_K", (256, 2))]),
        ("Q3_K_L", [("Q3_K", (256, 9)), ("Q5_K", (256, 2)), ("Q6_K", (256, 2))]),
    ],
)
def test_a_declared_name_stands_where_the_tensors_fit_it(declared, kinds):
    assert named(declared, *kinds) == declared


@pytest.mark.parametrize(
    ("declared", "kinds", "name"),
    [
        ("Q4_K_M", [("Q8_0", (256, 9)), NORM], "Q8_0"),
        ("Q4_K_M", [("F16", (256, 980)), ("Q4_K", (256, 20))], "F16"),
        ("Q4_K_M", [("F16", (256, 98)), ("Q4_K", (256, 2)), ("Q4_K", (256, 50), EMBEDDINGS)], "F16"),
        ("Q4_K_M", [("Q8_0", (256, 9)), ("Q4_K", (256, 1))], "Q8_0"),
        ("F16", [("Q4_0", (256, 9)), ("F16", (256, 1))], "Q4_0"),
        ("F16", [("BF16", (256, 9))], "BF16"),
        ("F32", [("F16", (256, 9)), NORM], "F16"),
        ("Q8_0", [("F16", (256, 9)), NORM], "F16"),
        ("Q2_K", [("Q6_K", (256, 9))], "Q6_K"),
    ],
)
def test_the_tensors_decide_where_they_contradict_the_declared_name(declared, kinds, name):
    judged = quantization_of(declared, tensors(*kinds))
    assert (judged.name, judged.contradicted) == (name, True)


def test_without_a_declared_name_the_type_of_most_elements_is_reported():
    assert named(None, ("Q4_K", (256, 9)), ("Q6_K", (256, 2)), ("F32", (9999,))) == "Q4_K"


def test_vectors_decide_only_where_there_is_nothing_else():
    assert named(None, ("F32", (99_999,)), ("Q8_0", (32, 1))) == "Q8_0"
    assert named(None, ("F32", (64,))) == "F32"


def test_nothing_is_reported_of_no_tensors():
    assert named("Q4_K_M") is None


def test_every_mixture_is_made_of_known_types():
    assert _FAMILIES.keys() <= {*FILE_TYPES.values(), "MXFP4"}  # Ollama's own name
    assert {one for family in _FAMILIES.values() for one in family} <= NUMBERS.keys()
    assert _FALLBACKS.keys() | set(_FALLBACKS.values()) <= NUMBERS.keys()


def test_a_wrong_file_type_in_a_written_file_is_an_info_and_stays_healthy(tmp_path):
    path = write_llama(tmp_path / "m.gguf", file_type=gguf.LlamaFileType.MOSTLY_Q4_K_M)
    result = verdict(path)
    assert result.metadata.quantization == "Q8_0"
    assert result.metadata.provenance["quantization"].detail == "tensor table"
    assert result.status is HealthStatus.HEALTHY
    assert "Q4_K_M" in result.finding("file-type-contradicted").message


def test_a_written_file_without_file_type_takes_its_tensors_type(tmp_path):
    result = verdict(write_llama(tmp_path / "m.gguf", file_type=None))
    assert (result.metadata.quantization, result.codes) == ("Q8_0", set())


NEWER_THAN_THE_PACKAGE = {42}
CORRECTED_SINCE = {9}  # Q8_1, which no file has: 36 bytes in newer releases of the package


def test_tensor_types_and_their_block_sizes_are_those_of_the_gguf_package():
    theirs = {
        int(one): (one.name, *gguf.GGML_QUANT_SIZES[one])
        for one in gguf.GGMLQuantizationType
        if one in gguf.GGML_QUANT_SIZES
    }
    ours = {number: tuple(one) for number, one in TENSOR_TYPES.items()}
    differing = {number for number, one in theirs.items() if ours.get(number) != one}
    assert differing <= CORRECTED_SINCE
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
