from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelshelf.model import Origin, Provenance
from modelshelf_safetensors import modelshelf_extract_metadata
from modelshelf_safetensors.layout import lay_out
from tests.plugins.modelshelf_safetensors.raw import whole
from tests.support import reader_of

WEIGHT = {"weight": np.ones((8, 4), np.float16), "bias": np.ones(8, np.float32)}


@pytest.fixture
def extract(tmp_path):
    def extract(tensors, metadata=None, **companions):
        path = tmp_path / "model.safetensors"
        save_file(tensors, path, metadata)
        beside = []
        for name, document in companions.items():
            beside.append(tmp_path / f"{name}.json")
            beside[-1].write_text(json.dumps(document))
        with reader_of(path, companions=tuple(beside)) as reader:
            return modelshelf_extract_metadata(reader.artifact, "safetensors", reader)

    return extract


def test_tensors_tell_parameters_types_and_bits(extract):
    found = extract(WEIGHT)
    assert (found.parameters, found.parameter_count, found.tensor_count) == (40, "40", 2)
    assert found.tensor_types == {"F16": 1, "F32": 1}
    assert found.bits_per_weight == pytest.approx((32 * 16 + 8 * 32) / 40)
    assert found.format == "safetensors"


def test_the_dtype_of_most_parameters_is_the_quantization(extract):
    many_small = {f"norm{at}": np.ones(1, np.float32) for at in range(10)}
    found = extract(WEIGHT | many_small)
    assert found.quantization == "F16"
    assert found.provenance["quantization"] == Provenance(Origin.HEADER, "tensors")


def test_no_tensors_no_parameters(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole(b"{}", b""))
    with reader_of(path) as reader:
        found = modelshelf_extract_metadata(reader.artifact, "safetensors", reader)
    assert (found.parameters, found.quantization, found.tensor_count) == (None, None, 0)


def test_modelspec_tells_title_architecture_licence_and_tags(extract):
    found = extract(
        WEIGHT,
        {
            "modelspec.title": "A Model",
            "modelspec.architecture": "stable-diffusion-xl-v1-base",
            "modelspec.license": "CreativeML Open RAIL++-M License",
            "modelspec.tags": "anime, style ,",
            "modelspec.version": "1.2",
        },
    )
    assert (found.title, found.architecture) == ("A Model", "stable-diffusion-xl-v1-base")
    assert found.license == "CreativeML Open RAIL++-M License"
    assert found.tags == ("anime", "style")
    assert found.details["model_version"] == "1.2"
    assert found.provenance["title"] == Provenance(Origin.HEADER, "__metadata__ modelspec.title")


def test_every_entry_of_the_metadata_is_kept_up_to_a_length(extract):
    found = extract(WEIGHT, {"format": "pt", "ss_tag_frequency": "x" * 10_000})
    assert found.details["metadata.format"] == "pt"
    assert len(found.details["metadata.ss_tag_frequency"]) == 256


def test_a_thousand_entries_of_metadata_do_not_fill_the_record(extract):
    found = extract(WEIGHT, {f"key{at}": "x" for at in range(1000)})
    assert len(found.details) == 64


@pytest.mark.parametrize(
    ("names", "adapter"),
    [
        (("base.layers.0.q_proj.lora_A.weight", "base.layers.0.q_proj.lora_B.weight"), "lora"),
        (
            ("lora_unet_down.lora_down.weight", "lora_unet_down.lora_up.weight", "lora_unet_down.alpha"),
            "lora",
        ),
        (("unet.attn.to_q_lora.down.weight", "unet.attn.to_q.lora.up.weight", "x.lora.down.weight"), "lora"),
        (("block.hada_w1_a", "block.hada_w1_b", "block.hada_w2_a", "block.hada_w2_b"), "loha"),
        (("block.lokr_w1", "block.lokr_w2_a", "block.lokr_w2_b"), "lokr"),
        (("layers.0.weight", "explora.weight"), None),
        (("a.weight", "b.weight", "c.weight", "d.lora_A.weight"), None),
    ],
)
def test_an_adapter_is_reported_by_what_most_tensors_are(extract, names, adapter):
    found = extract({name: np.ones((4, 2), np.float32) for name in names})
    assert found.details.get("adapter") == adapter


def test_the_rank_of_a_lora_is_its_smaller_dimension(extract):
    found = extract({"q.lora_A.weight": np.ones((16, 64)), "q.lora_B.weight": np.ones((64, 16))})
    assert found.details["adapter_rank"] == 16


def test_packed_words_are_counted_by_the_config_beside_them(extract):
    packed = {
        "layer.weight": np.ones((64, 16), np.uint32),
        "layer.scales": np.ones((64, 2), np.float16),
        "layer.biases": np.ones((64, 2), np.float16),
    }
    assert extract(packed).parameters is None
    found = extract(packed, config={"quantization": {"group_size": 64, "bits": 4}})
    assert (found.quantization, found.parameters) == ("MLX-4bit", 64 * 128)
    assert found.bits_per_weight == pytest.approx((64 * 16 * 4 + 2 * 64 * 2 * 2) * 8 / (64 * 128), abs=1e-4)


def test_another_formats_artifact_is_left_alone(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with reader_of(path) as reader:
        assert modelshelf_extract_metadata(reader.artifact, "gguf", reader) is None
        assert reader.budget.opened == 0


def test_bits_of_sub_byte_types_count_as_they_are():
    assert lay_out("F6_E2M3", (4, 2)).size == 6
    assert lay_out("F4", (3, 2)).size == 3


def test_real_metadata_is_reported(corpus):
    with reader_of(corpus / "safetensors" / "safe_model.safetensors") as reader:
        found = modelshelf_extract_metadata(reader.artifact, "safetensors", reader)
    assert (found.license, found.title, found.quantization) == ("MIT", "transformer-small", "F32")
    assert found.details["model_version"] == "1.2.3"


def test_of_shards_that_were_joined_nothing_is_summed(tmp_path):
    path, second = tmp_path / "model.safetensors", tmp_path / "b"
    save_file(WEIGHT, path)
    save_file(WEIGHT, second)
    path.write_bytes(path.read_bytes() + second.read_bytes())
    with reader_of(path) as reader:
        found = modelshelf_extract_metadata(reader.artifact, "safetensors", reader)
    assert (found.parameters, found.tensor_count) == (None, None)
