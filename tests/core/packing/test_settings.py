from __future__ import annotations

import json

import pytest

from modelshelf.packing import PackingSettings, settings_of


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quantization": {"group_size": 64, "bits": 4}}, ("MLX-4bit", 4, 64)),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 3, "group_size": -1}},
            ("GPTQ-3bit", 3, None),
        ),
        (
            {"quantization_config": {"config_groups": {"group_0": {"weights": {"num_bits": 8}}}}},
            (None, 8, None),
        ),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, ("FP8", None, None)),
        ({"quantization_config": {"quant_method": "exl2", "bits": 4.65}}, ("EXL2-4.65bpw", 4.65, None)),
        ({"quantization": {"quant_algo": "NVFP4", "group_size": 16}}, ("NVFP4", 4, 16)),
        (
            {"quantization_config": {"quant_method": "torchao", "quant_type": "int4_weight_only"}},
            ("TORCHAO-4bit", 4, None),
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "torchao",
                    "quant_type": {"default": {"_type": "Int8DynamicActivationInt4WeightConfig"}},
                }
            },
            ("TORCHAO-4bit", 4, None),
        ),
        ({"quantization": "4bit"}, (None, None, None)),
        ({"quantization": {"bits": True}}, (None, None, None)),
        ([], (None, None, None)),
    ],
)
def test_method_bits_and_group_size_are_taken_where_they_are_numbers(config, expected):
    settings = settings_of(json.dumps(config).encode())
    assert (settings.name, settings.bits, settings.group_size) == expected


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"[" * 100_000])
def test_a_broken_config_gives_no_settings(raw):
    assert settings_of(raw) == PackingSettings()


@pytest.mark.parametrize(
    ("target", "name", "fits"),
    [
        ("re:.*self_attn.*", "model.layers.0.self_attn.q_proj", True),
        (r"re:^model\.layers\.0.*", "model.layers.0.mlp", True),
        (r"re:model\.layers", "a.model.layers", False),
        ("re:.*down_proj$", "a.down_proj", True),
        ("re:.*down_proj$", "a.down_proj.b", False),
        ("lm_head", "lm_head", True),
        ("re:(a+)+$", "a" * 64, False),
    ],
)
def test_a_group_is_of_the_layers_that_its_targets_match(target, name, fits):
    groups = {"group_0": {"targets": [target], "weights": {"num_bits": 4}}}
    settings = settings_of(json.dumps({"quantization_config": {"config_groups": groups}}).encode())
    found = settings.groups[0].targets == (target,) and settings.of_layer(name)
    other = settings_of(
        json.dumps(
            {
                "quantization_config": {
                    "config_groups": {
                        **groups,
                        "group_1": {"targets": ["Linear"], "weights": {"num_bits": 8}},
                    }
                }
            }
        ).encode()
    )
    assert found
    assert other.of_layer(name).bits == (4 if fits else 8)
