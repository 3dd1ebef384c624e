from __future__ import annotations

import attrs
import pytest

from modelshelf.model import ModelMetadata, Origin, merge_metadata
from modelshelf.model.consistency import consistent


def header(**values):
    return ModelMetadata.partial(Origin.HEADER, "tensors", **values)


def named(quantization):
    return ModelMetadata.partial(Origin.FILENAME, "name", quantization=quantization)


@pytest.mark.parametrize(
    ("name", "bits", "kept"),
    [
        ("Q4_K_M", 4.8, True),
        ("Q4_K_M", 9.5, True),  # embeddings of a small model
        ("Q4_K_M", 32.0, False),
        ("Q8_0", 4.5, False),
        ("F16", 16.1, True),
        ("F32", 16.0, False),
        ("GPTQ-4bit", 4.3, True),
        ("GPTQ-4bit", 16.4, True),
        ("INT8", 32.0, False),
        ("AWQ", 32.0, True),
    ],
)
def test_a_names_quantization_is_dropped_where_the_tensors_cannot_have_it(name, bits, kept):
    metadata, findings = consistent(merge_metadata([header(bits_per_weight=bits), named(name)]))
    assert metadata.quantization == (name if kept else None)
    assert ("quantization" in metadata.provenance) is kept
    assert [one.code for one in findings] == ([] if kept else ["inconsistent"])


def test_a_headers_own_quantization_was_compared_by_who_read_it():
    metadata, findings = consistent(header(bits_per_weight=30.0, quantization="Q4_K_M"))
    assert (metadata.quantization, findings) == ("Q4_K_M", ())


@pytest.mark.parametrize(
    ("label", "count", "kept"),
    [
        ("7B", 7_600_000_000, True),
        ("7B", 10_600_000_000, False),
        ("7B", 4_000_000_000, False),
        ("8x7B", 46_700_000_000, True),
        ("8x7B", 3_000_000_000, False),
        ("26B-A4B", 25_000_000_000, True),
        ("270M", 268_000_000, True),
        ("large", 5, True),
        (7, 5, True),
    ],
)
def test_a_label_is_dropped_where_it_is_far_from_the_count_and_the_count_never_is(label, count, kept):
    metadata, findings = consistent(header(parameters=count, details={"size_label": label}))
    assert metadata.parameters == count
    assert ("size_label" in metadata.details) is kept
    assert len(findings) == (not kept)


def test_the_label_of_an_adapter_is_its_bases():
    details = {"size_label": "7B", "type": "adapter"}
    assert consistent(header(parameters=1000, details=details))[1] == ()


@pytest.mark.parametrize(
    ("dtype", "stored", "kept"),
    [
        ("bfloat16", "BF16", True),
        ("torch.float16", "F16", True),
        ("float32", "BF16", False),
        ("bfloat16", "GPTQ-4bit", True),
        ("auto", "F16", True),
    ],
)
def test_a_configs_type_is_dropped_where_plain_tensors_have_another(dtype, stored, kept):
    metadata, findings = consistent(header(quantization=stored, details={"torch_dtype": dtype}))
    assert ("torch_dtype" in metadata.details) is kept
    assert len(findings) == (not kept)


def test_what_nothing_contradicts_is_left_alone():
    metadata = header(quantization="F16", bits_per_weight=16.0, parameters=10)
    found, findings = consistent(metadata)
    assert (attrs.asdict(found), findings) == (attrs.asdict(metadata), ())
